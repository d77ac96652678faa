"""Invariants of the limiters: whatever is asked, what comes out stays inside the bounds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_cell.arm.limiter import CartesianBounds, CartesianLimiter, JointLimiter, into_cone, small_rotvec
from prophrl_core import se3

BOX = np.array([[0.3, -0.35, 0.005], [0.85, 0.35, 0.6]])
BOUNDS = CartesianBounds(BOX, 0.6, 0.5, 4.0, 2.0, 16.0)
DOWN = se3.pose_from_rotvec(np.array([0.5, 0.0, 0.3, math.pi, 0.0, 0.0]))

wild_poses = st.lists(
    st.tuples(*[st.floats(-1.5, 1.5) for _ in range(3)], *[st.floats(-1.2, 1.2) for _ in range(3)]),
    min_size=1, max_size=6,
)  # fmt: skip


def target(numbers):
    turn = se3.pose_from_rotvec(np.array([0, 0, 0, *numbers[3:]]))
    pose = DOWN @ turn
    pose[:3, 3] = numbers[:3]
    return pose


@settings(max_examples=60, deadline=None)
@given(wild_poses, st.sampled_from([0.002, 0.008]), st.integers(1, 60))
def test_any_sequence_of_targets_stays_in_box_cone_speed_and_acceleration(poses, dt, dwell):
    limiter = CartesianLimiter(BOUNDS, DOWN)
    places, turns, previous = [DOWN[:3, 3]], [], DOWN
    for numbers in poses:
        for _ in range(dwell):
            out, _ = limiter.step(target(numbers), dt)
            places.append(out[:3, 3])
            turns.append(se3.rotation_angle(previous[:3, :3].T @ out[:3, :3]) / dt)
            assert into_cone(out[:3, :3], math.pi)[1] <= BOUNDS.max_tilt + 1e-6
            previous = out
    places = np.array(places)
    assert (places >= BOX[0] - 1e-9).all() and (places <= BOX[1] + 1e-9).all()
    velocity = np.diff(places, axis=0) / dt
    assert np.linalg.norm(velocity, axis=1).max() <= BOUNDS.speed + 1e-6
    change = np.linalg.norm(np.diff(velocity, axis=0, prepend=np.zeros((1, 3))), axis=1) / dt
    assert change.max() <= BOUNDS.acceleration * 1.01
    assert max(turns) <= BOUNDS.angular_speed * 1.05


@settings(max_examples=40, deadline=None)
@given(wild_poses)
def test_reaches_a_reachable_target_that_waits(poses):
    limiter = CartesianLimiter(BOUNDS, DOWN)
    goal = target(poses[0])
    goal[:3, 3] = np.clip(goal[:3, 3], BOX[0] + 0.01, BOX[1] - 0.01)
    goal[:3, :3], _ = into_cone(goal[:3, :3], BOUNDS.max_tilt - 0.01)
    for _ in range(1000):
        out, clamps = limiter.step(goal, 0.008)
    assert np.allclose(out, goal, atol=1e-9) and not clamps


def test_a_gentle_reference_passes_unchanged():
    limiter = CartesianLimiter(BOUNDS, DOWN)
    for i in range(500):
        s = 0.05 * (1 - math.cos(i * 0.008))
        goal = DOWN @ se3.pose_from_rotvec(np.array([s, -s, 0.5 * s, 0.0, 0.0, s]))
        out, clamps = limiter.step(goal, 0.008)
        assert not clamps
        assert np.allclose(out, goal, atol=1e-12)


def test_clamps_name_the_limit_and_the_excess():
    limiter = CartesianLimiter(BOUNDS, DOWN)
    outside = DOWN.copy()
    outside[0, 3] = BOX[1, 0] + 0.2
    _, clamps = limiter.step(outside, 0.008)
    first = clamps[0]
    assert first.limit == "workspace" and first.value == pytest.approx(0.2) and first.unit == "m"
    tilted = DOWN @ se3.pose_from_rotvec(np.array([0, 0, 0, 0.9, 0, 0]))
    _, clamps = limiter.step(tilted, 0.008)
    assert clamps[0].limit == "tilt" and clamps[0].value == pytest.approx(0.9) and clamps[0].bound == 0.6


LOW, HIGH = np.full(6, -2.0), np.full(6, 2.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-4, 4), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 80), st.booleans(),
)  # fmt: skip
def test_joints_stay_within_position_speed_and_acceleration(targets, dwell, brake):
    dt, speed, acceleration = 0.008, np.full(6, 1.5), np.full(6, 15.0)
    limiter = JointLimiter(LOW, HIGH, speed, acceleration, np.zeros(6))
    path = [np.zeros(6)]
    for q in targets:
        for _ in range(dwell):
            path.append(limiter.step(np.array(q), dt)[0])
    if brake:
        for _ in range(40):
            path.append(limiter.brake(dt))
        assert not limiter.qd.any()
    path = np.array(path)
    assert (path >= LOW - 1e-12).all() and (path <= HIGH + 1e-12).all()
    velocity = np.diff(path, axis=0, prepend=np.zeros((1, 6))) / dt
    assert np.abs(velocity).max() <= 1.5 + 1e-6
    inside = (path[1:] > LOW + 1e-9).all(axis=1) & (path[1:] < HIGH - 1e-9).all(axis=1)
    change = np.abs(np.diff(velocity, axis=0)).max(axis=1) / dt
    assert (change[inside] <= 15.0 * 1.001).all()


def test_joint_limiter_stops_at_the_limit_without_crossing_it():
    limiter = JointLimiter(LOW, HIGH, np.full(6, 1.5), np.full(6, 15.0), np.zeros(6))
    clamps = []
    for i in range(600):
        q, found = limiter.step(np.array([0.01 * i, 0, 0, 0, 0, 0]), 0.008)
        clamps += found
    assert q[0] == 2.0
    assert "joint_limit" in {c.limit for c in clamps}


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.floats(0.0, 3.1))
def test_quick_rotation_vector_agrees_with_the_vocabulary(axis, angle):
    axis = np.array(axis)
    if np.linalg.norm(axis) < 1e-3:
        return
    R = se3.rotvec_to_matrix(axis / np.linalg.norm(axis) * angle)
    assert np.allclose(small_rotvec(R), se3.matrix_to_rotvec(R), atol=1e-6)
