"""What a session starts: the request is checked, overrides reach every process, launch and up start the same."""

from pathlib import Path

import pytest
import yaml
from prophrl_bringup import session as session_module
from prophrl_bringup.processes import session_processes
from prophrl_bringup.session import ARGUMENTS, find_bundle, prepare
from prophrl_core.cell import load_cell
from prophrl_core.config_path import available
from prophrl_core.errors import UserError
from prophrl_core.task import load_task

TASKS = ("grasp_bottle", "place_cube", "pullout_tissue", "place_bowl")
LAUNCH_FOLDER = Path(session_module.__file__).resolve().parents[1] / "launch"


@pytest.fixture
def bundle(tmp_path):
    """A folder that looks like a bundle; policy_node is what verifies the content."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


def request(tmp_path, bundle, **arguments) -> dict[str, str]:
    return {"run": str(tmp_path / "run"), "policy": str(bundle)} | arguments


def test_every_task_has_a_launch_file_and_a_description():
    assert {path.name for path in LAUNCH_FOLDER.iterdir()} == {f"{task}.launch.py" for task in TASKS}
    assert set(available("tasks")) == set(TASKS)


def test_a_simulated_cell_is_the_real_cells_nodes_and_the_other_side_of_the_wire(tmp_path, bundle):
    sim = session_processes(prepare("grasp_bottle", request(tmp_path, bundle, trials="2")))
    real = session_processes(prepare("grasp_bottle", request(tmp_path, bundle, trials="2", cell="ur30e")))
    added = [process.name for process in sim if process.package == "prophrl_sim"]
    assert added == ["sim_cell", "operator_node"]
    same = [process.command() for process in sim if process.package != "prophrl_sim" and process.name != "heartbeat_node"]
    assert same == [process.command() for process in real if process.name != "heartbeat_node"]
    assert sim[0].ready_file is not None and sim[-1].last


def test_one_camera_node_per_camera(tmp_path, bundle):
    description = yaml.safe_load((Path(session_module.__file__).resolve().parents[1] / "config/cells/sim.yaml").read_text())
    description["cameras"].append(dict(description["cameras"][0], name="side"))
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(description))
    processes = session_processes(prepare("grasp_bottle", request(tmp_path, bundle, cell=str(path))))
    cameras = [dict(process.parameters)["camera"] for process in processes if process.executable == "camera_node"]
    assert cameras == [camera["name"] for camera in description["cameras"]]
    names = [process.name for process in processes]
    assert len(set(names)) == len(names)


def test_robot_ip_reaches_the_arm_and_the_simulated_cameras(tmp_path, bundle):
    session = prepare("grasp_bottle", request(tmp_path, bundle, robot_ip="127.9.8.7"))
    cell = load_cell(session.cell_file)
    assert cell.robot.ip == "127.9.8.7"
    assert {camera.host for camera in cell.cameras if camera.source == "injected"} == {"127.9.8.7"}
    assert all(str(session.cell_file) in process.command()[-1] or process.parameters is None or
               dict(process.parameters)["cell_file"] == str(session.cell_file) for process in session_processes(session))
    assert load_cell("sim").robot.ip != "127.9.8.7", "the shipped description was changed"


def test_the_run_folder_keeps_the_descriptions_in_force(tmp_path, bundle):
    session = prepare("place_cube", request(tmp_path, bundle, cell="ur30e", robot_ip="10.1.2.3"))
    assert load_task(session.task_file) == load_task("place_cube")
    assert load_cell(session.cell_file).robot.ip == "10.1.2.3"


def test_a_world_model_runs_beside_the_cell_when_it_is_asked_for(tmp_path, bundle):
    pytest.importorskip("torch")
    plain = session_processes(prepare("grasp_bottle", request(tmp_path, bundle)))
    assert not any(process.optional for process in plain)
    weights = tmp_path / "weights"
    with pytest.raises(UserError, match=r"expected weights with prophet\.json"):
        prepare("grasp_bottle", request(tmp_path, bundle, prophet=str(weights)))
    weights.mkdir()
    (weights / "prophet.json").write_text("{}")
    processes = session_processes(prepare("grasp_bottle", request(tmp_path, bundle, prophet=str(weights))))
    added = [process for process in processes if process.name not in {p.name for p in plain}]
    assert [(p.name, p.package, p.restart, p.optional) for p in added] == [
        ("prophet_node", "prophrl_world_model", True, True)
    ]
    assert dict(added[0].parameters)["weights"] == str(weights)


def test_a_stale_ready_file_is_removed(tmp_path, bundle):
    session = prepare("grasp_bottle", request(tmp_path, bundle))
    session.sim_ready_file.touch()
    assert not prepare("grasp_bottle", request(tmp_path, bundle)).sim_ready_file.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cell": "moon"}, "'moon' is not known"),
        ({"policy": "nowhere"}, "expected a bundle"),
        ({"trials": "three"}, "trials: expected a whole number"),
        ({"trials": "-1"}, "trials: expected a whole number"),
        ({"seed": "1.5"}, "seed: expected a whole number"),
        ({"policy": "none", "trials": "3"}, "expected a policy or a person"),
        ({"teleop": "yes"}, "teleop: expected true or false"),
        ({"teleop": "true", "device": "mouse"}, "teleop device 'mouse' is not known"),
        ({"teleop": "true", "device": ","}, "device: expected one or more"),
        ({"timeout": "nan"}, "timeout: expected 0 to 3600 s"),
        ({"console": "true", "console_port": "70000"}, "console_port: expected 1 to 65535"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(tmp_path, bundle, arguments, words):
    with pytest.raises(UserError, match=words) as error:
        prepare("grasp_bottle", request(tmp_path, bundle, **arguments))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists(), "a refused request leaves nothing behind"


def test_no_policy_no_policy_node(tmp_path, bundle):
    processes = session_processes(prepare("grasp_bottle", request(tmp_path, "none")))
    assert "policy_node" not in [process.name for process in processes]


def test_teleoperation_adds_its_nodes_and_tells_the_others(tmp_path, bundle):
    arguments = {"teleop": "true", "trials": "2", "device": "keyboard,twist", "operator": "Ada: y", "console": "true"}
    session = prepare("grasp_bottle", request(tmp_path, "none", **arguments))
    processes = {process.name: dict(process.parameters or ()) for process in session_processes(session)}
    without = session_processes(prepare("grasp_bottle", request(tmp_path, bundle, trials="2")))
    assert set(processes) == {process.name for process in without} - {"policy_node"} | {"teleop_node", "console_node"}
    assert processes["teleop_node"]["devices"] == '["keyboard","twist"]'
    assert yaml.safe_load(processes["teleop_node"]["operator"]) == "Ada: y"
    assert processes["session_node"]["needs_policy"] == "false" and processes["session_node"]["teleop"] == "true"
    assert processes["operator_node"]["part"] == "scene"
    assert processes["run_trials"]["timeout"] == "120.0"
    assert {"teleop_node", "console_node"} <= set(yaml.safe_load(processes["heartbeat_node"]["watch"]))


def test_a_bundle_is_found_by_name_under_its_task(tmp_path, monkeypatch):
    folder = tmp_path / "bundles" / "place_cube" / "sft"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    monkeypatch.setenv("PROPHRL_ROOT", str(tmp_path))
    assert find_bundle("sft", "place_cube") == folder
    with pytest.raises(UserError):
        find_bundle("sft", "grasp_bottle")


@pytest.mark.parametrize("cell", ["sim", "ur30e"])
@pytest.mark.parametrize("task", TASKS)
def test_launch_and_up_start_the_very_same_command_lines(tmp_path, bundle, task, cell):
    launch = pytest.importorskip("launch")
    pytest.importorskip("launch_ros")
    from prophrl_bringup.launch_session import launch_action

    processes = session_processes(prepare(task, request(tmp_path, bundle, trials="3", cell=cell)))
    context = launch.LaunchContext()
    for process in processes:
        action = launch_action(process)
        if process.parameters is not None:
            action._perform_substitutions(context)
        words = [launch.utilities.perform_substitutions(context, part) for part in action.cmd]
        if process.parameters is not None:
            assert words.pop() == "--ros-args"  # launch_ros always closes with an empty one
        assert words == process.command()


def test_launch_files_declare_every_argument_with_its_meaning():
    pytest.importorskip("launch_ros")
    import importlib.util

    for path in LAUNCH_FOLDER.glob("*.launch.py"):
        spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        declared = {argument.name: argument for argument in module.generate_launch_description().get_launch_arguments()}
        assert list(declared) == list(ARGUMENTS)
        assert all(len(argument.description) > 10 for argument in declared.values())


def test_what_was_collected_is_a_table(tmp_path):
    from prophrl_bringup.teleop import collected, table
    from prophrl_core.episode import EpisodeMeta, write_meta

    assert table(collected(tmp_path)) == ["0 episodes"]
    for number, outcome in enumerate(("success", "discarded", "success")):
        folder = tmp_path / f"e{number}"
        folder.mkdir()
        write_meta(folder, EpisodeMeta(
            f"e{number}", "t", "", "sim", "ur30", "", 0, number, started=10.0 - number, ended=12.0 - number,
            outcome=outcome, operator="ada",
        ))  # fmt: skip
    (tmp_path / "e9.partial").mkdir()
    lines = table(collected(tmp_path))
    assert [line.split()[0] for line in lines] == ["e2", "e1", "e0", "3"]
    assert "success" in lines[0] and "2.0 s" in lines[0] and "ada" in lines[0]
    assert lines[-1] == "3 episodes: 2 success, 1 discarded"
