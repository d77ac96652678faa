import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_core import action, se3
from prophrl_core.chunk_schedule import Chunk, ChunkSchedule
from prophrl_core.target_history import TargetHistory

DT = 0.1
START = se3.pose_from_rotvec([0.5, 0.0, 0.3, np.pi, 0.0, 0.0])


def chunk(actions, t=0.0, sequence=1):
    return Chunk(np.asarray(actions, dtype=float), DT, t, sequence)


def moving(steps=20, dx=0.01, turn=0.02):
    return np.tile([dx, 0.0, 0.005, 0.0, 0.0, turn, 1.0], (steps, 1))


def test_waypoints_are_met_at_their_times_and_the_target_then_rests():
    schedule = ChunkSchedule(START, 1.0)
    actions = moving()
    assert schedule.accept(chunk(actions), 0.0, START, from_rest=True) == 0
    poses, _ = action.integrate(START, actions)
    for i, T in enumerate(poses):
        np.testing.assert_allclose(schedule.setpoint((i + 1) * DT).T, T, atol=1e-9)
    rest = schedule.setpoint(10.0)
    np.testing.assert_allclose(rest.T, poses[-1], atol=1e-12)
    assert rest.step == -1


def test_openness_holds_within_a_step():
    actions = moving(4)
    actions[:, 6] = [1.0, 0.7, 0.2, 0.0]
    schedule = ChunkSchedule(START, 1.0)
    schedule.accept(chunk(actions), 0.0, START, from_rest=True)
    assert [schedule.setpoint(t).openness for t in (0.0, 0.09, 0.1, 0.25, 0.39, 5.0)] == [1.0, 1.0, 0.7, 0.2, 0.0, 0.0]
    assert [schedule.setpoint(t).step for t in (0.0, 0.09, 0.1, 0.25, 0.39, 5.0)] == [0, 0, 1, 2, 3, -1]


def test_a_late_chunk_drops_what_is_past_and_a_wholly_past_one_is_not_taken():
    schedule = ChunkSchedule(START, 1.0)
    assert schedule.accept(chunk(moving()), 0.33, START, from_rest=False) == 3
    schedule = ChunkSchedule(START, 1.0)
    assert schedule.accept(chunk(moving(5)), 0.51, START, from_rest=False) == 5
    assert schedule.chunk is None


def test_from_rest_the_chunk_starts_at_its_first_step_however_old_it_is():
    schedule = ChunkSchedule(START, 1.0)
    assert schedule.accept(chunk(moving(), t=1.0), 1.4, START, from_rest=True) == 0
    np.testing.assert_allclose(schedule.setpoint(1.4).T, START, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    first=st.lists(st.floats(-0.02, 0.02), min_size=7, max_size=7),
    second=st.lists(st.floats(-0.02, 0.02), min_size=7, max_size=7),
    at=st.floats(0.3, 1.8),
)
def test_a_seam_is_smooth_in_position_and_velocity_and_ends_on_the_new_chunk(first, second, at):
    schedule = ChunkSchedule(START, 1.0)
    schedule.accept(chunk(np.tile(first, (20, 1))), 0.0, START, from_rest=True)
    observed = at - 0.12
    anchor = schedule.setpoint(observed).T
    h = 1e-4
    before, before2 = schedule.setpoint(at - h).T, schedule.setpoint(at - 2 * h).T
    schedule.accept(chunk(np.tile(second, (20, 1)), t=observed, sequence=2), at, anchor, from_rest=False)
    at_seam, after = schedule.setpoint(at).T, schedule.setpoint(at + h).T
    np.testing.assert_allclose(at_seam, before, atol=1e-4)
    velocity = (after - at_seam)[:3, 3] / h
    np.testing.assert_allclose(velocity, (before - before2)[:3, 3] / h, atol=0.02)
    poses, _ = action.integrate(anchor, np.tile(second, (20, 1)))
    np.testing.assert_allclose(schedule.setpoint(observed + 5 * DT).T, poses[4], atol=1e-9)


def test_acceleration_stays_finite_through_the_waypoints():
    rng = np.random.default_rng(0)
    actions = rng.normal(0, 0.01, (20, 7))
    schedule = ChunkSchedule(START, 1.0)
    schedule.accept(chunk(actions), 0.0, START, from_rest=True)
    t = np.arange(0.0, 2.0, 0.002)
    p = np.array([schedule.setpoint(x).T[:3, 3] for x in t])
    acceleration = np.linalg.norm(np.diff(p, n=2, axis=0), axis=1) / 0.002**2
    assert acceleration.max() < 12 * np.abs(actions[:, :3]).max() / DT**2


def test_history_interpolates_and_knows_whether_the_target_moved():
    history = TargetHistory(seconds=1.0)
    other = START.copy()
    other[0, 3] += 0.1
    history.append(0.0, START, 1.0)
    history.append(0.5, other, 0.0)
    T, openness = history.at(0.25)
    assert T[0, 3] == pytest.approx(0.55) and openness == 1.0
    assert history.at(-0.1) is None
    assert history.moved_since(0.1) and not history.moved_since(0.5)
    history.append(2.0, other, 0.0)
    assert history.at(0.1) is None
