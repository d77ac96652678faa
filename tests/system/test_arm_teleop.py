"""An operator at the real arm_node on the simulated controller: jogs, pre-empts a policy, guides by hand, lets go."""

import itertools
import math
import time

import numpy as np
import pytest
from prophrl_bringup.nodes.arm_client import EPISODE, sway
from prophrl_core import action, se3
from prophrl_core.cell import load_cell
from prophrl_interfaces.msg import ActionChunk, ArmStatus, EnvelopeEvent, TeleopCommand


@pytest.fixture
def rig(shared_arm_rig):
    return shared_arm_rig


@pytest.fixture
def client(rig):
    """The arm at home, in an episode, nobody pressing anything; events and steps of this test only."""
    client = rig.client
    client.release()
    client.recover()
    client.home()
    client.start_episode()
    client.events.clear()
    client.executed.clear()
    yield client
    client.release()
    client.stop_episode()


def tool(rig):
    return np.array(rig.control.request("state")["tcp"])


def steady_speed(targets):
    """Of the commanded tool while nothing slows it down, m/s."""
    t = np.array([m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in targets])
    p = np.array([[m.tcp.position.x, m.tcp.position.y, m.tcp.position.z] for m in targets])
    return np.percentile(np.linalg.norm(p[12:] - p[:-12], axis=1) / (t[12:] - t[:-12]), 75)


def rests(rig, seconds=0.25):
    before = rig.joints()
    rig.client.spin(seconds)
    return np.abs(rig.joints() - before).max() < 2e-3


@pytest.mark.parametrize(
    ("frame", "twist"),
    [
        (TeleopCommand.FRAME_BASE, (0.0, 0.1, 0.05, 0.0, 0.0, 0.0)),
        (TeleopCommand.FRAME_TOOL, (0.05, 0.1, 0.0, 0.0, 0.0, 0.4)),
    ],
)
def test_the_true_tool_moves_the_right_way_at_the_right_scale_while_the_deadman_is_held(rig, client, frame, twist):
    client.jog(0.2, twist, frame=frame, deadman=False)
    start = tool(rig)
    assert rests(rig)
    client.targets.clear()
    client.jog(1.0, twist, frame=frame, openness=0.5)
    assert client.status.mode == ArmStatus.MODE_EXECUTING and client.status.control == ArmStatus.CONTROL_TELEOP
    client.release()
    client.until_mode(ArmStatus.MODE_READY, limit=1.0)
    client.spin(0.3)
    T, asked = tool(rig), np.array(twist)
    assert steady_speed(client.targets) == pytest.approx(np.linalg.norm(asked[:3]), rel=0.03)
    if frame == TeleopCommand.FRAME_BASE:
        moved = T[:3, 3] - start[:3, 3]
        seconds = np.linalg.norm(moved) / np.linalg.norm(asked[:3])
        assert np.allclose(moved, seconds * asked[:3], atol=0.004)
    else:  # the tool's axes turn with it: an arc
        moved = start[:3, :3].T @ (T[:3, 3] - start[:3, 3])
        turned = se3.matrix_to_rotvec(start[:3, :3].T @ T[:3, :3])[2]
        seconds = turned / asked[5]
        chord = np.linalg.norm(asked[:3]) * math.sin(turned / 2) / (asked[5] / 2)
        assert np.linalg.norm(moved) == pytest.approx(chord, abs=0.006)
    assert 0.6 < seconds < 1.12, "a busy machine's gaps slow the arm down; it never goes further than asked"
    assert rests(rig) and client.gripper[-1].openness == 0.5 and not client.events
    steps = client.executed
    assert {(s.source, s.episode_id) for s in steps} == {(ActionChunk.SOURCE_TELEOP, EPISODE)} and len(steps) >= 9
    assert [s.step for s in steps] == list(range(len(steps)))
    total, _ = action.integrate(start, np.array([s.executed for s in steps], dtype=float))
    assert np.allclose(total[-1], T, atol=2e-3)


def test_silence_stops_it_and_stale_or_unstamped_commands_move_nothing(rig, client):
    client.jog(0.4, (0.0, 0.1, 0, 0, 0, 0))
    assert rig.stop_time(time.monotonic()) < 0.5
    assert client.status.control == ArmStatus.CONTROL_TELEOP  # nobody else gets the arm before the release
    client.release()
    client.until(lambda: client.status.control == ArmStatus.CONTROL_NONE, "the arm given back", 1.0)
    before = rig.joints()
    client.jog(0.2, (0.0, 0.1, 0, 0, 0, 0), stamped_ago=0.5)
    client.jog(0.2, (0.0, 0.1, 0, 0, 0, 0), stamped_ago=1e9)
    assert np.abs(rig.joints() - before).max() < 2e-3
    assert {e.limit for e in client.events} == {"command_age"}


def test_pre_empts_a_policy_reports_it_once_and_hands_back(rig, client):
    start = client.targets[-1].tcp.position.y
    client.execute(sway(speed=0.05))
    client.until(lambda: client.status.control == ArmStatus.CONTROL_POLICY, "the policy in control", 2.0)
    client.spin(0.3)
    for _ in range(6):  # the policy goes on planning all the while
        client.send_chunk(sway(speed=0.2), observed_ago=0.1)
        client.jog(0.2, (0.1, 0.0, 0.0, 0.0, 0.0, 0.0))
        assert client.status.control == ArmStatus.CONTROL_TELEOP
    assert [(e.limit, e.action) for e in client.events if e.limit == "control"] == [
        ("control", EnvelopeEvent.ACTION_REFUSED)
    ]
    client.release()
    client.send_chunk(sway(), observed_ago=0.1)  # seen before the release
    client.until_mode(ArmStatus.MODE_READY, limit=1.0)
    client.spin(0.2)
    client.send_chunk(sway(), observed_ago=0.5)
    assert rests(rig) and client.status.control == ArmStatus.CONTROL_NONE
    client.execute(sway(speed=0.05, steps=5))
    client.until(lambda: client.status.control == ArmStatus.CONTROL_POLICY, "the policy back in control", 2.0)
    client.until_mode(ArmStatus.MODE_READY)
    client.spin(0.3)
    runs = [source for source, _ in itertools.groupby(client.executed, lambda s: s.source)]
    assert runs == [ActionChunk.SOURCE_POLICY, ActionChunk.SOURCE_TELEOP, ActionChunk.SOURCE_POLICY]
    first = np.eye(4)
    first[:3, :3] = se3.rotvec_to_matrix(np.array([math.pi, 0.0, 0.0]))
    total, _ = action.integrate(first, np.array([s.executed for s in client.executed], dtype=float))
    assert start + total[-1][1, 3] == pytest.approx(client.targets[-1].tcp.position.y, abs=2e-3)
    assert sum(e.limit == "control" for e in client.events) == 1


def test_a_hostile_stream_stays_inside_and_is_reported(rig, client):
    envelope = load_cell(rig.cell_file).envelope
    hostile = [
        ((0, math.nan, 0, 0, 0, 0), "finite"), ((0, 1e6, 0, 0, 0, 0), "twist_magnitude"),
        ((0, 0, math.inf, 0, 0, 0), "finite"), ((0, 0, 0, 40.0, 0, 0), "twist_magnitude"),
    ]  # fmt: skip
    for twist, limit in hostile:
        client.jog(0.1, (0.0, 0.1, 0, 0, 0, 0))
        client.jog(0.25, twist)
        assert rests(rig) and any(
            (e.limit, e.action) == (limit, EnvelopeEvent.ACTION_REFUSED) for e in client.events
        ), limit
    for i in range(40):  # flipping at full speed
        client.jog(0.02, (0.0, 0.5 * (-1) ** i, 0.1, 0.0, 2.0 * (-1) ** i, 0.0))
    corner = []
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        client.jog(0.05, (0.0, 0.35, 0.35, 0.0, 0.0, 0.0))
        corner.append(tool(rig)[:3, 3])
    client.release()
    low, high = np.array(envelope.workspace_min), np.array(envelope.workspace_max)
    assert (np.array(corner) >= low - 0.004).all() and (np.array(corner) <= high + 0.004).all()
    assert client.status.mode != ArmStatus.MODE_HOLD
    assert any((e.limit, e.action) == ("workspace", EnvelopeEvent.ACTION_CLAMPED) for e in client.events)
    assert len(client.events) < 60  # not one per command


def test_moves_nothing_while_held_and_needs_a_new_press_after_the_resume(rig, client):
    client.jog(0.3, (0.0, 0.1, 0, 0, 0, 0))
    client.call("arm/hold")
    client.until_mode(ArmStatus.MODE_HOLD)
    client.spin(0.3)
    before = rig.joints()
    client.jog(0.3, (0.0, 0.1, 0, 0, 0, 0))
    assert client.call("arm/resume").success
    client.jog(0.3, (0.0, 0.1, 0, 0, 0, 0))
    assert np.abs(rig.joints() - before).max() < 2e-3
    client.release()
    client.spin(0.05)
    client.jog(0.3, (0.0, 0.1, 0, 0, 0, 0))
    assert np.abs(rig.joints() - before).max() > 0.02
    assert [e.limit for e in client.events] == ["mode"]


def test_a_press_replaces_the_way_home(rig, client):
    client.jog(1.2, (0.0, 0.2, 0, 0, 0, 0))
    client.release()
    client.until_mode(ArmStatus.MODE_READY)
    client.call("arm/home")
    client.until_mode(ArmStatus.MODE_MOVING)
    client.spin(0.3)
    client.jog(0.2)
    assert client.status.control == ArmStatus.CONTROL_TELEOP
    assert rests(rig) and abs(tool(rig)[1, 3]) > 0.03
    client.release()
    client.until_mode(ArmStatus.MODE_READY, limit=1.0)
    assert rests(rig, 0.5)


def test_freedrive_follows_a_push_and_holds_where_it_is_let_go(rig, client):
    start = tool(rig)
    client.jog(0.3, freedrive=True)
    client.until_mode(ArmStatus.MODE_FREEDRIVE, limit=1.0)
    rig.control.request("push", wrench=[0.0, 12.0, 0.0, 0.0, 0.0, 0.0], seconds=0.5)
    client.jog(1.0, freedrive=True)
    client.release()
    client.until_mode(ArmStatus.MODE_READY, limit=2.0)
    let_go = tool(rig)
    assert let_go[1, 3] - start[1, 3] > 0.02
    client.spin(0.3)
    assert np.linalg.norm(tool(rig)[:3, 3] - let_go[:3, 3]) < 5e-3 and rests(rig)
    steps = client.executed
    assert {s.source for s in steps} == {ActionChunk.SOURCE_FREEDRIVE} and len(steps) >= 8
    total, _ = action.integrate(start, np.array([s.executed for s in steps], dtype=float))
    assert np.allclose(total[-1][:3, 3], tool(rig)[:3, 3], atol=5e-3)
    rig.control.request("push", wrench=[0.0, 12.0, 0.0, 0.0, 0.0, 0.0], seconds=0.3)
    assert rests(rig, 0.5)
    client.jog(0.3, (0.0, -0.1, 0, 0, 0, 0))
    assert tool(rig)[1, 3] < let_go[1, 3] - 0.01


def test_freedrive_ends_at_the_workspace_and_in_silence(rig, client):
    client.jog(0.2, freedrive=True)
    client.until_mode(ArmStatus.MODE_FREEDRIVE, limit=1.0)
    client.until_mode(ArmStatus.MODE_READY, limit=1.0)
    client.release()
    rig.control.request("push", wrench=[0.0, 15.0, 0.0, 0.0, 0.0, 0.0], seconds=6.0)
    end = time.monotonic() + 8.0
    while not client.events and time.monotonic() < end:
        client.jog(0.1, freedrive=True)
    assert [e.action for e in client.events] == [EnvelopeEvent.ACTION_STOPPED]
    assert client.events[0].limit in ("workspace", "tilt")  # the push turns the tool as well
    client.jog(0.5, freedrive=True)
    assert client.status.mode != ArmStatus.MODE_FREEDRIVE
    assert tool(rig)[1, 3] < load_cell(rig.cell_file).envelope.workspace_max[1] + 0.08
    rig.control.request("push", wrench=[0.0] * 6, seconds=0.0)
