"""The real ``ros2 launch`` of all four tasks. Skipped only where launch_ros and ros2launch cannot be imported."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from bringup.graph import assert_all_ended, session_processes_of, wait_until_all_answer

pytest.importorskip("launch_ros")
pytest.importorskip("ros2launch")

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("grasp_bottle", "place_cube", "pullout_tissue", "place_bowl")
BUNDLE = ROOT / "bundles" / "grasp_bottle" / "sft"


def launch(process, task: str, *arguments: str):
    """ros2 launch as a person types it, away from the repository."""
    command = [shutil.which("ros2"), "launch", "prophrl_bringup", f"{task}.launch.py", *arguments]
    return process(command, name="launch", cwd="/", env=os.environ | {"PYTHONUNBUFFERED": "1"})


@pytest.mark.parametrize("task", TASKS)
def test_three_trials_run_and_the_launch_ends_by_itself(process, ros_domain, loopback_ip, tmp_path, task):
    arguments = (f"robot_ip:={loopback_ip}", f"policy:={BUNDLE}", "trials:=3", f"run:={tmp_path}/run")
    running = launch(process, task, "cell:=sim", *arguments)
    assert running.wait(240) == 0, running.output()
    assert "of 3 trials succeeded" in running.output()
    episodes = sorted((tmp_path / "run" / "episodes").iterdir())
    assert len(episodes) == 3 and all((episode / "episode.json").is_file() for episode in episodes)
    assert_all_ended(tmp_path / "run")


@pytest.mark.parametrize(("task", "teleop"), [*((task, "false") for task in TASKS), (TASKS[0], "true")])
def test_ctrl_c_ends_a_running_cell_cleanly(process, ros_domain, loopback_ip, tmp_path, task, teleop):
    run_dir = tmp_path / "run"
    words = ("teleop:=true", "console:=true", "console_port:=18477", "device:=twist") if teleop == "true" else ()
    running = launch(process, task, "cell:=sim", f"robot_ip:={loopback_ip}", "policy:=none", f"run:={run_dir}", *words)
    wait_until_all_answer(run_dir, running, ("teleop_node", "console_node") if teleop == "true" else ())
    names = session_processes_of(run_dir)
    assert "arm_node" in names and ("teleop_node" in names) == ("console_node" in names) == (teleop == "true")
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: every process hears it, then once more from launch
    assert running.wait(20) == 0, running.output()
    assert "process has died" not in running.output() and "Traceback" not in running.output(), running.output()
    assert_all_ended(run_dir)


def test_an_unreachable_robot_ends_the_launch_with_a_status(process, ros_domain, loopback_ip, tmp_path):
    running = launch(process, TASKS[0], "cell:=ur30e", f"robot_ip:={loopback_ip}", "policy:=none", f"run:={tmp_path}/run")
    assert running.wait(60) != 0
    assert_all_ended(tmp_path / "run")


def test_a_wrong_argument_is_one_line(process, ros_domain, tmp_path):
    running = launch(process, TASKS[0], "cell:=moon", f"run:={tmp_path}/run")
    assert running.wait(60) != 0
    assert "'moon' is not known" in running.output() and "Traceback" not in running.output()
