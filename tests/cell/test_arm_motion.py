"""The commanded motion: chunks are followed, executed steps chain, stops come to rest, homes arrive."""

import dataclasses

import numpy as np
import pytest
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_core import action, se3
from prophrl_core.action import ActionSpec
from prophrl_core.cell import load_cell
from prophrl_core.chunk_schedule import Chunk

CELL = load_cell("sim")
ENVELOPE = Envelope(CELL, ActionSpec())
DT = 0.008
HOME = np.array(CELL.robot.home)


def chunk(observed, velocity=(0.1, 0.0, 0.0), steps=20, sequence=0, openness=0.0):
    actions = np.zeros((steps, 7))
    actions[:, :3] = np.array(velocity) * 0.1
    actions[:, 6] = openness
    return Chunk(actions, 0.1, observed, sequence)


def run(motion, t, seconds):
    """Step for a while; returns the new time, joint path and limits met."""
    path, met = [motion.q], set()
    for _ in range(round(seconds / DT)):
        t += DT
        q, clamps = motion.step(t)
        path.append(q)
        met |= {c.limit for c in clamps}
    return t, np.array(path), met


def test_a_chunk_from_rest_starts_now_and_ends_where_its_actions_lead():
    motion = Motion(ENVELOPE, HOME, 1.0, DT, 100.0)
    start = motion.T.copy()
    t, _, _ = run(motion, 100.0, 0.5)
    moves = chunk(t - 0.3, (0.05, 0.02, -0.05))
    assert motion.follow(moves, t) is None
    t, path, met = run(motion, t, 2.2)
    expected, _ = action.integrate(start, moves.actions_TD)
    assert np.allclose(motion.T, expected[-1], atol=1e-6)
    assert motion.resting and motion.openness == 0.0
    assert np.allclose(ENVELOPE.tcp(path[-1]), motion.T, atol=1e-9)
    assert not met - {"tcp_acceleration"}


def test_executed_steps_chain_to_the_whole_commanded_motion_over_replans():
    motion = Motion(ENVELOPE, HOME, 1.0, DT, 0.0)
    start, t = motion.T.copy(), 0.0
    for sequence in range(4):
        observed = t - 0.12 if sequence else t
        assert motion.follow(chunk(observed, (0.04, 0.05 * (-1) ** sequence, -0.03), sequence=sequence), t) is None
        t, _, _ = run(motion, t, 0.83)
    t, _, _ = run(motion, t, 2.5)
    assert motion.resting
    steps = motion.steps.executed
    chained, _ = action.integrate(start, np.array([s.executed for s in steps]))
    assert np.allclose(chained[-1], motion.T, atol=1e-6)
    assert {s.sequence for s in steps} == {0, 1, 2, 3}
    last = [s.step for s in steps if s.sequence == 3]
    assert last == sorted(last) and last[-1] == 19
    assert all(s.observation_age >= -1e-9 for s in steps)
    plain = [s for s in steps if s.sequence == 3 and s.step > 5]
    for s in plain:
        assert np.allclose(s.executed[:6], s.proposed[:6], atol=2e-3)


def test_a_chunk_of_the_past_is_refused():
    motion = Motion(ENVELOPE, HOME, 1.0, DT, 0.0)
    motion.follow(chunk(0.0), 0.0)
    t, _, _ = run(motion, 0.0, 1.0)
    found = motion.follow(chunk(t - 0.7, steps=5, sequence=1), t)
    assert found is not None and found.limit == "chunk_age"


def test_out_of_the_workspace_is_clamped_at_the_wall():
    motion = Motion(ENVELOPE, HOME, 1.0, DT, 0.0)
    down = chunk(0.0, (0.0, 0.0, 0.4))  # the tool's z points down
    motion.follow(down, 0.0)
    _, path, met = run(motion, 0.0, 2.5)
    assert "workspace" in met
    heights = np.array([ENVELOPE.tcp(q)[2, 3] for q in path[::5]])
    assert heights.min() >= CELL.envelope.workspace_min[2] - 1e-6
    assert heights[-1] == pytest.approx(CELL.envelope.workspace_min[2], abs=1e-4)
    assert any(s.clamped for s in motion.steps.executed) and motion.resting


def test_a_limit_in_stop_on_brakes_to_rest():
    strict = dataclasses.replace(CELL, envelope=dataclasses.replace(CELL.envelope, stop_on=("workspace",)))
    motion = Motion(Envelope(strict, ActionSpec()), HOME, 1.0, DT, 0.0)
    motion.follow(chunk(0.0, (0.0, 0.0, 0.4)), 0.0)
    _, path, met = run(motion, 0.0, 2.5)
    assert "workspace" in met and motion.resting
    assert ENVELOPE.tcp(path[-1])[2, 3] >= CELL.envelope.workspace_min[2]


def test_brake_rests_within_the_joint_accelerations():
    motion = Motion(ENVELOPE, HOME, 1.0, DT, 0.0)
    motion.follow(chunk(0.0, (0.3, 0.1, 0.0)), 0.0)
    t, before, _ = run(motion, 0.0, 0.4)
    motion.brake()
    t, after, _ = run(motion, t, 0.5)
    assert motion.resting
    velocity = np.diff(np.concatenate([before[-2:], after[1:]]), axis=0) / DT
    assert np.abs(velocity[0]).max() > 0.1
    assert np.abs(np.diff(velocity, axis=0)).max() / DT <= CELL.envelope.joint_acceleration * 1.001
    assert not np.diff(after[-20:], axis=0).any()
    anchor = motion.T.copy()
    assert motion.follow(chunk(t - 0.2, (0.0, 0.05, 0.0), sequence=1), t) is None
    run(motion, t, 2.2)
    assert np.allclose((se3.inverse(anchor) @ motion.T)[:3, 3], [0.0, 0.1, 0.0], atol=1e-6)


def test_home_arrives_and_stays():
    start = ENVELOPE.joints(ENVELOPE.tcp(HOME) @ se3.pose_from_rotvec(np.array([0.04, 0.03, 0.05, 0, 0, 0.1])), HOME)
    motion = Motion(ENVELOPE, start, 0.0, DT, 0.0)
    assert motion.move(HOME, 0.6, 0.0) is None
    assert motion.doing is Doing.MOVING
    _, path, met = run(motion, 0.0, 4.0)
    assert motion.resting and np.array_equal(path[-1], HOME) and not met


def test_home_from_where_the_way_leaves_the_box_is_refused():
    start = HOME.copy()
    start[0] += 0.3
    motion = Motion(ENVELOPE, start, 0.0, DT, 0.0)
    away = HOME.copy()
    away[0] -= 1.2
    assert motion.move(away, 0.6, 0.0).limit == "workspace"
    assert motion.resting
