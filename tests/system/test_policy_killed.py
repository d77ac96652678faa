"""The real policy_node killed in a running trial of a whole cell: the arm rests, the trial is kept, the next one runs."""

import signal
import time

from bringup.graph import session_processes_of
from prophrl_core.episode_reader import read_episode
from prophrl_sim.control_client import ControlClient
from system.test_demo import ROOT, write_cell

REST_LIMIT_S = 3.0  # the chunk under way is 2 s long


def joints_at_rest_after(control: ControlClient, since: float, limit_s: float = 10.0) -> float:
    """Seconds from ``since`` until the true joints have stood still for half a second."""
    moved, before = since, control.request("state")["q"]
    while time.monotonic() - moved < 0.5:
        time.sleep(0.02)
        now = control.request("state")["q"]
        if max(abs(a - b) for a, b in zip(now, before, strict=True)) > 2e-4:
            moved = time.monotonic()
        before = now
        assert time.monotonic() - since < limit_s, "the arm still moves"
    return moved - since


def test_a_killed_policy_ends_the_trial_and_the_next_one_runs(process, tmp_path, ros_domain, loopback_ip):
    run_dir = tmp_path / "run"
    cell = write_cell(tmp_path, loopback_ip)
    command = [ROOT / "prophrl", "up", "grasp_bottle", "--cell", cell, "--trials", "2", "--seed", "390000000"]
    up = process([*command, "--run", run_dir], name="up")
    up.wait_for("arm EXECUTING", timeout=90)
    time.sleep(0.3)  # far from the bottle still: a push on it would end the trial for another reason
    policy = session_processes_of(run_dir)["policy_node"]
    killed = time.monotonic()
    policy.send_signal(signal.SIGKILL)
    control = ControlClient(loopback_ip)
    rest_s = joints_at_rest_after(control, killed)
    control.close()
    assert rest_s < REST_LIMIT_S
    up.wait_for("policy_node ended with -9; starting it again", timeout=10)
    assert up.wait(180) == 0, up.output()
    first, second = (read_episode(folder) for folder in sorted((run_dir / "episodes").iterdir()))
    assert first.meta.outcome == "fault" and first.meta.reason.startswith("policy: "), first.meta
    assert len(first.series("arm/executed_action")["t"]) >= 10
    assert len(list(first.frames("front"))) > 10
    assert second.meta.outcome in ("success", "failure", "fault") and "policy" not in second.meta.reason, second.meta
    assert len(second.series("arm/executed_action")["t"]) >= 10
