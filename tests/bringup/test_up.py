"""``prophrl up`` on the simulated cell: the real nodes start, answer, survive what they should, and all end."""

import os
import signal
import time
from pathlib import Path

import pytest
from bringup.graph import NODES, assert_all_ended, session_processes_of, wait_until_all_answer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def up(process, ros_domain, loopback_ip, tmp_path):
    """Starts ``prophrl up grasp_bottle`` on a simulated cell of its own, without a policy."""
    command = [ROOT / "prophrl", "up", "grasp_bottle", "--policy", "none", "--robot-ip", loopback_ip]
    return process([*command, "--run", f"{tmp_path}/run"], name="up")


def test_the_graph_comes_up_survives_a_killed_camera_and_ends_on_ctrl_c(up, tmp_path):
    run_dir = tmp_path / "run"
    wait_until_all_answer(run_dir, up)
    assert set(NODES) <= set(session_processes_of(run_dir))

    session_processes_of(run_dir)["camera_front"].kill()
    up.wait_for("camera_front ended with -9; starting it again")
    wait_until_all_answer(run_dir, up)

    begun = time.monotonic()
    assert up.interrupt(timeout=20) == 0, up.output()
    assert time.monotonic() - begun < 15
    assert_all_ended(run_dir)
    assert {path.stem for path in (run_dir / "logs").iterdir()} >= {*NODES, "sim_cell", "heartbeat_node"}


def test_a_killed_arm_node_ends_the_session_with_one_line(up, tmp_path):
    run_dir = tmp_path / "run"
    wait_until_all_answer(run_dir, up)
    session_processes_of(run_dir)["arm_node"].send_signal(signal.SIGKILL)
    assert up.wait(20) == 2
    last = up.output().strip().splitlines()[-1]
    assert last.startswith("prophrl: error: arm_node ended with -9; see ") and last.endswith("arm_node.log")
    assert_all_ended(run_dir)


def test_an_unreachable_robot_is_one_line_and_nothing_stays(process, ros_domain, loopback_ip, tmp_path):
    command = [ROOT / "prophrl", "up", "grasp_bottle", "--cell", "ur30e", "--robot-ip", loopback_ip, "--policy", "none"]
    up = process([*command, "--run", f"{tmp_path}/run"], name="up", env=os.environ | {"NO_COLOR": "1"})
    assert up.wait(60) == 2
    errors = [line for line in up.output().splitlines() if line.startswith("prophrl: error:")]
    assert len(errors) == 1
    assert "Traceback" not in up.output()
    assert_all_ended(tmp_path / "run")
