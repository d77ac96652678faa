"""The real arm_node and RTDE process against the simulated controller: homes, follows chunks, reports, refuses."""

import math

import numpy as np
import pytest
from prophrl_bringup.nodes.arm_client import EPISODE, sway
from prophrl_core import action
from prophrl_core.cell import load_cell
from prophrl_interfaces.msg import ArmStatus, EnvelopeEvent


def tool(rig):
    return np.array(rig.control.request("state")["tcp"])[:3, 3]


def test_homes_follows_a_chunk_reports_what_it_did_and_ends_cleanly(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        client = rig.client
        client.home()
        assert np.allclose(rig.joints(), load_cell(rig.cell_file).robot.home, atol=0.02)
        client.start_episode()
        before = tool(rig)
        client.execute(sway(speed=0.06, openness=0.0))
        client.until_mode(ArmStatus.MODE_READY)
        client.spin(0.5)
        assert np.linalg.norm(tool(rig) - before) == pytest.approx(0.12, abs=0.01)
        steps = client.executed
        assert len(steps) >= 19 and all(s.episode_id == EPISODE for s in steps)
        total, _ = action.integrate(np.eye(4), np.array([s.executed for s in steps], dtype=float))
        assert np.linalg.norm(total[-1][:3, 3]) == pytest.approx(0.12, abs=1e-3)
        assert client.gripper[-1].openness == 0.0
        assert client.joints[-1].name[0] == "shoulder_pan_joint" and len(client.targets) > 50
        assert rig.arm.stop() == 0
        assert rig.stop_time(0.0, limit=math.inf) >= 0.0


REFUSED = {
    "finite": ((4, 0, np.nan), {}),
    "action_magnitude": ((0, 0, 1.0), {}),
    "chunk_age": (None, {"observed_ago": 2.0}),
    "spec_id": (None, {"spec_id": "0123456789abcdef"}),
    "episode": (None, {"episode": "20200101-000000-grasp_bottle-009"}),
    "chunk_size": (None, {"steps": 4000000000}),
    "chunk_size ": (None, {"actions": [0.0] * 145}),
    "step_period": (None, {"step_period": 0.01}),
}  # limit: (row, column, value) to spoil, message fields to replace


def test_bad_chunks_are_refused_logged_and_the_arm_holds(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        client = rig.client
        client.home()
        client.start_episode()
        for limit, (spoilt, changes) in REFUSED.items():
            seen, place = len(client.events), rig.joints()
            actions = sway()
            if spoilt:
                actions[spoilt[:2]] = spoilt[2]
            client.send_chunk(actions, **changes)
            client.until(lambda seen=seen: len(client.events) > seen, f"an envelope event for {limit}")
            event = client.events[-1]
            assert (event.limit, event.action) == (limit.strip(), EnvelopeEvent.ACTION_REFUSED)
            client.spin(0.2)
            assert np.allclose(rig.joints(), place, atol=2e-3), limit
        client.execute(sway(speed=0.06))
        client.spin(0.5)
        client.send_chunk(np.full((20, 7), np.inf))
        client.until(lambda: client.status.mode == ArmStatus.MODE_READY, "rest after a bad chunk in mid-motion", 5.0)
        client.stop_episode()
        client.send_chunk(sway())
        client.spin(0.5)
        assert client.events[-1].limit == "episode"


def test_out_of_the_envelope_is_clamped_and_contact_stops_until_the_operator_resumes(arm_rig):
    with arm_rig(envelope__workspace_min=[0.30, -0.05, -0.3]) as rig:
        rig.start_arm()
        client = rig.client
        client.home()
        client.start_episode()
        client.execute(sway(speed=0.12, direction=(0.0, 1.0, 0.0)))
        client.until(lambda: any(e.limit == "workspace" for e in client.events), "a clamp at the wall")
        assert next(e for e in client.events if e.limit == "workspace").action == EnvelopeEvent.ACTION_CLAMPED
        client.until_mode(ArmStatus.MODE_READY)
        assert tool(rig)[1] > -0.05 - 0.01
        client.home()
        stopped = (ArmStatus.MODE_HOLD, ArmStatus.MODE_PROTECTIVE_STOP)  # the controller may notice the blow as well
        for _ in range(8):
            client.send_chunk(sway(speed=0.06, openness=0.0, direction=(0.0, 0.0, 1.0)))
            client.spin(1.0)
            if client.status.mode in stopped:
                break
        client.until_mode(*stopped)
        assert any("contact_force" in reason for _, reason in client.statuses)
        assert any(e.limit == "contact_force" and e.action == EnvelopeEvent.ACTION_STOPPED for e in client.events)
        client.send_chunk(sway())
        client.until(lambda: client.events[-1].limit == "mode", "a refusal while holding")
        client.recover()
        client.home()
