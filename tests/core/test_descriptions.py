import pytest
from prophrl_core.cell import load_cell
from prophrl_core.config_path import available
from prophrl_core.errors import UserError
from prophrl_core.task import load_task


@pytest.mark.parametrize("name", available("cells"))
def test_every_cell_description_loads_and_its_home_is_inside_its_envelope(name):
    from prophrl_core import ur_kinematics as kin

    cell = load_cell(name)
    T = kin.forward(cell.robot.kinematics, cell.robot.home) @ cell.robot.T_tool0_tcp
    for value, low, high in zip(T[:3, 3], cell.envelope.workspace_min, cell.envelope.workspace_max):
        assert low < value < high
    assert T[2, 2] < -0.999


@pytest.mark.parametrize("name", available("tasks"))
def test_every_task_description_loads(name):
    task = load_task(name)
    assert task.name == name
    assert task.action.chunk_steps * task.action.step_period > task.execute_steps * task.action.step_period


@pytest.mark.parametrize(
    "change, message",
    [
        (("servo_rate: 125", "servo_rate: 200"), "servo_rate: expected 125 or 500"),
        (("model: ur30", "model: ur99"), "robot.model"),
        (("model: ur30", "modell: ur30"), "unknown field 'modell'"),
        (("workspace_max: [0.85, 0.35, 0.60]", "workspace_max: [0.85, 0.35, 0.0]"), "min below max"),
        (("payload_mass: 1.0", "payload_mass: .nan"), "finite"),
        (("stroke: 0.085", "stroke: wide"), "expected float"),
        (("source: injected", "source: webcam"), "realsense, recording or injected"),
    ],
)
def test_a_wrong_cell_is_refused_in_one_line(tmp_path, change, message):
    from prophrl_core.config_path import find_config

    text = find_config("cells", "sim").read_text()
    assert change[0] in text
    path = tmp_path / "cell.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(UserError, match=message) as caught:
        load_cell(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="known: .*sim"):
        load_cell("moon")
