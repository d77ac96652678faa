"""An episode recorded in a simulated cell is replayed in a fresh one by the command, and comes back along its path."""

import json
import subprocess
import sys

import numpy as np
import pytest
from prophrl_bringup import replay_plan
from prophrl_bringup.cell_processes import running_cell
from prophrl_bringup.nodes.replay_client import ReplayClient
from prophrl_bringup.session import prepare
from prophrl_core import action, se3
from prophrl_core.cell import load_cell
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError
from prophrl_core.task import load_task
from prophrl_core.ur_kinematics import forward
from prophrl_interfaces.msg import ActionChunk

EPISODE = "20261121-034500-grasp_bottle-000"
NODES = ("sim_cell", "arm_node", "gripper_node", "recorder_node")


def scripted(cell, task):
    """A plan: to the side and back with a turn of the wrist, closing the gripper on the way; 24 steps."""
    actions_ND = np.zeros((24, 7))
    actions_ND[:12, 1], actions_ND[12:, 1] = 0.011, -0.008
    actions_ND[:12, 2], actions_ND[:, 5] = 0.004, 0.02
    actions_ND[:, 6] = np.where(np.arange(24) < 14, 1.0, 0.3)
    home = forward(cell.robot.kinematics, np.array(cell.robot.home)) @ cell.robot.T_tool0_tcp
    poses, openness = action.integrate(home, actions_ND)
    return replay_plan.Plan(task.action, np.concatenate([home[None], poses]), openness, 0.0, 2.4)


@pytest.fixture
def recorded(tmp_path, ros_domain, loopback_ip):
    """Folder of an episode made by chunks of a policy's kind, its plan, and the address of the cell."""
    arguments = {"policy": "none", "run": str(tmp_path / "recorded"), "robot_ip": loopback_ip}
    session = prepare("grasp_bottle", arguments)
    task = load_task("grasp_bottle")
    plan = scripted(session.cell, task)
    with running_cell(session, NODES):
        client = ReplayClient(task)
        try:
            client.home()
            client.run(plan, EPISODE, 7, "scripted", ActionChunk.SOURCE_POLICY)
            folder = client.stop(EPISODE, 7, "scripted", "success", "")
        finally:
            client.close()
    return folder, plan, loopback_ip


def _off_path(points_N3, path_M3):
    """The largest distance of a point from a path of straight pieces, m."""
    a, b = path_M3[:-1], path_M3[1:]
    along = ((points_N3[:, None] - a) * (b - a)).sum(2) / np.maximum(((b - a) ** 2).sum(1), 1e-12)
    nearest = a + along.clip(0, 1)[..., None] * (b - a)
    return np.linalg.norm(points_N3[:, None] - nearest, axis=2).min(axis=1).max()


def test_a_replay_follows_the_recorded_path(recorded, tmp_path):
    folder, plan, ip = recorded
    episode = read_episode(folder)
    path = replay_plan.read_path(episode, replay_plan.replayed_from(episode, plan.spec))
    wanted = plan.poses_N44[:, :3, 3]
    assert _off_path(path.commanded_N3, wanted) < 0.004, "the recording holds the scripted motion and no other"
    assert _off_path(wanted, path.commanded_N3) < 0.004, "all of it"
    assert episode.meta.control.policy >= 22 and episode.meta.control.replay == 0

    figures, run_dir = tmp_path / "replay.json", tmp_path / "replayed"
    command = [sys.executable, "-m", "prophrl_bringup.cli", "data", "replay", folder, "--run", run_dir]
    words = [str(word) for word in (*command, "--robot-ip", ip, "--json", figures)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode in (0, 1), done.stderr + done.stdout
    found = {figure["name"]: figure for figure in json.loads(figures.read_text())["figures"]}
    assert found["replay.path_distance.rms"]["value"] < 3.0 and found["replay.path_distance.rms"]["n"] > 100
    kept_pace = found["replay.path_error.rms"]["value"] <= 3.0  # a starved machine lags, and says so
    assert kept_pace == (done.returncode == 0), done.stdout
    assert not kept_pace or found["replay.openness_error.mean"]["value"] < 0.1
    assert (run_dir / "replay.png").stat().st_size > 10_000
    (replayed,) = (run_dir / "episodes").iterdir()
    meta = read_episode(replayed).meta
    assert (meta.control.replay >= 22, meta.control.policy, meta.seed) == (True, 0, 7)
    assert read_episode(replayed).series("gripper/state")["openness"].min() < 0.6, "the gripper was replayed, too"

    cell = load_cell("sim")
    with pytest.raises(UserError, match="expected an episode of task place_cube, got grasp_bottle"):
        replay_plan.check_fits(episode, cell, load_task("place_cube"))
    with pytest.raises(UserError, match="mm; replay it more slowly"):
        replay_plan.make_plan(episode, cell, action.ActionSpec(max_translation=0.005))
    with pytest.raises(UserError, match=r"expected 0.1 to 2, got 9"):
        replay_plan.make_plan(episode, cell, plan.spec, speed=9.0)
    slow = replay_plan.make_plan(episode, cell, plan.spec, speed=0.5)
    assert abs(slow.steps - 2 * replay_plan.make_plan(episode, cell, plan.spec).steps) <= 2
    np.testing.assert_allclose(slow.poses_N44[-1][:3, 3], wanted[-1], atol=2e-3)
    assert se3.rotation_angle(slow.poses_N44[0][:3, :3].T @ slow.poses_N44[-1][:3, :3]) > 0.4
