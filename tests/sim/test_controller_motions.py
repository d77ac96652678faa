"""Reference motions: where they end, how fast they go, that they are smooth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_core import se3, ur_kinematics
from prophrl_core.ur_models import UR_MODELS
from prophrl_sim.controller.motions import MotionFault, MoveJ, MoveL, Reference, Servo, SpeedJ, SpeedL, Stop, Trapezoid
from prophrl_sim.controller.tcp_kinematics import TcpKinematics, pose_vector
from prophrl_sim.servo import ServoConfig, ServoJ

UR30 = UR_MODELS["ur30"]
MAX_SPEED = np.array(UR30.max_speed)
PERIOD = 0.002
HOME = np.array([2.7279, -1.8204, 2.2598, -2.0102, -1.5708, -1.9845])
joints = st.lists(st.floats(-2.5, 2.5), min_size=6, max_size=6).map(np.array)


def kinematics() -> TcpKinematics:
    tool = TcpKinematics(UR30)
    tool.set_offset((0.01, -0.02, 0.165, 0.1, 0.2, -0.3))
    return tool


def path(motion, reference: Reference, seconds: float = 30.0) -> np.ndarray:
    """References (n, 6) of every tick until the motion ends."""
    points = [reference.q]
    for _ in range(round(seconds / PERIOD)):
        ended = motion.step(reference, PERIOD)
        points.append(reference.q)
        if ended:
            return np.array(points)
    raise AssertionError("the motion did not end")


@given(st.floats(0.0, 5.0), st.floats(0.01, 3.0), st.floats(0.05, 20.0))
def test_a_trapezoid_starts_and_ends_at_rest_within_its_limits(distance, speed, acceleration):
    profile = Trapezoid(distance, speed, acceleration)
    t = np.linspace(0.0, profile.duration, 401)
    covered = np.array([profile.fraction(x) for x in t]) * distance
    assert covered[-1] == pytest.approx(distance) and np.all(np.diff(covered) >= -1e-9)
    if profile.duration > 0 and distance > 1e-6:
        v = np.diff(covered) / np.diff(t)
        assert np.max(v) <= speed * 1.001
        assert v[0] <= acceleration * (t[1] - t[0]) and v[-1] <= acceleration * (t[1] - t[0]) * 1.001


def test_a_trapezoid_takes_the_closed_form_time():
    assert Trapezoid(1.0, 0.5, 1.0).duration == pytest.approx(0.5 / 1.0 + 1.0 / 0.5)
    assert Trapezoid(0.04, 5.0, 1.0).duration == pytest.approx(2 * 0.2)


@given(joints, joints, st.floats(0.8, 10.0), st.floats(1.0, 20.0))
@settings(max_examples=20, deadline=None)
def test_movej_reaches_its_goal_and_keeps_every_joints_speed(start, goal, speed, acceleration):
    reference = Reference(start, np.zeros(6))
    way = path(MoveJ(start, goal, speed, acceleration, MAX_SPEED), reference)
    assert np.allclose(way[-1], goal, atol=1e-12)
    speeds = np.abs(np.diff(way, axis=0)) / PERIOD
    assert np.all(speeds <= MAX_SPEED * 1.001) and np.max(speeds) <= speed * 1.001


@given(st.lists(st.floats(-0.08, 0.08), min_size=3, max_size=3), st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3))
@settings(max_examples=10, deadline=None)
def test_movel_keeps_the_tcp_on_the_line(shift, turn):
    tool = kinematics()
    start = tool.forward(HOME)
    goal = se3.transform(start[:3, :3] @ se3.rotvec_to_matrix(np.array(turn)), start[:3, 3] + shift)
    reference = Reference(HOME, np.zeros(6))
    way = path(MoveL(tool, HOME, goal, 0.5, 4.0), reference)
    points = np.array([tool.forward(q)[:3, 3] for q in way[:: max(1, len(way) // 40)]])
    along = np.array(shift)
    off = points - start[:3, 3]
    if np.linalg.norm(along) > 1e-9:
        unit = along / np.linalg.norm(along)
        off = off - np.outer(off @ unit, unit)
    assert np.max(np.abs(off)) < 1e-6
    assert np.allclose(tool.forward(way[-1]), goal, atol=1e-6)


def test_movel_out_of_reach_is_a_fault():
    tool = kinematics()
    goal = tool.forward(HOME)
    goal[0, 3] += 3.0
    with pytest.raises(MotionFault):
        path(MoveL(tool, HOME, goal, 3.0, 50.0), Reference(HOME, np.zeros(6)))


@given(joints, st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6).map(np.array), st.floats(2.0, 40.0))
@settings(max_examples=30, deadline=None)
def test_stop_brings_all_joints_to_rest_together(q, qd, deceleration):
    reference = Reference(q, qd)
    way = path(Stop.joints(reference, deceleration), reference)
    largest = np.max(np.abs(qd))
    assert reference.at_rest
    assert (len(way) - 1) * PERIOD == pytest.approx(largest / deceleration, abs=2.1 * PERIOD)
    assert np.allclose(way[-1] - q, qd * (largest / deceleration) / 2, atol=1e-6)


def test_speedj_ramps_and_holds_its_speed():
    motion, reference = SpeedJ(MAX_SPEED), Reference(HOME, np.zeros(6))
    motion.target, motion.acceleration = np.array([0.3, 0, 0, -0.1, 0, 0]), 1.0
    for _ in range(150):
        motion.step(reference, PERIOD)
    assert motion.reached or np.max(np.abs(reference.qd)) <= 0.3
    for _ in range(50):
        motion.step(reference, PERIOD)
    assert motion.reached and np.allclose(reference.qd, motion.target)


def test_speedl_moves_the_tcp_with_the_commanded_twist():
    tool = kinematics()
    motion, reference = SpeedL(tool, Reference(HOME, np.zeros(6))), Reference(HOME, np.zeros(6))
    motion.target, motion.acceleration = np.array([0.05, -0.02, 0.04, 0.0, 0.1, 0.0]), 10.0
    for _ in range(100):
        motion.step(reference, PERIOD)
    _, twist = tool.state(reference.q, reference.qd)
    assert np.allclose(twist, motion.target, atol=2e-3)


@given(joints, joints)
@settings(max_examples=50, deadline=None)
def test_scalar_kinematics_agree_with_the_matrix_ones(q, qd):
    tool = kinematics()
    pose, twist = tool.state(q.tolist(), qd.tolist())
    T = tool.forward(q)
    assert np.allclose(se3.pose_from_rotvec(np.array(pose)), T, atol=1e-9)
    assert np.allclose(twist, ur_kinematics.jacobian(UR30, q, T[:3, 3]) @ qd, atol=1e-9)


@given(st.lists(st.floats(-np.pi, np.pi), min_size=3, max_size=3))
@settings(deadline=None)
def test_pose_vectors_give_the_same_rotation(rotvec):
    T = se3.pose_from_rotvec(np.array([0.1, 0.2, 0.3, *rotvec]))
    assert np.allclose(se3.pose_from_rotvec(np.array(pose_vector(T))), T, atol=1e-6)


def test_servo_is_the_shared_filter_and_the_slider_slows_it():
    target = HOME + 0.05
    alone = ServoJ(MAX_SPEED, PERIOD, ServoConfig(0.05, 600.0))
    alone.reset(HOME)
    reference = Reference(HOME, np.zeros(6))
    motion = Servo(reference, MAX_SPEED, PERIOD)
    motion.configure(0.05, 600.0)
    motion.aim(target)
    for _ in range(100):
        motion.step(reference, PERIOD)
        assert np.array_equal(reference.q, alone.step(target))
    reference = Reference(HOME, np.zeros(6))
    slow = Servo(reference, MAX_SPEED, PERIOD)
    slow.aim(HOME + 0.5)
    for _ in range(200):
        before = reference.q
        slow.step(reference, PERIOD * 0.25)
        assert np.all(np.abs(reference.q - before) <= 0.25 * MAX_SPEED * PERIOD + 1e-9)


@pytest.mark.parametrize("target", [HOME + 0.7, np.full(6, np.nan), np.full(6, 1e300)])
def test_a_servo_target_must_not_jump(target):
    with pytest.raises(MotionFault, match="sudden change"):
        Servo(Reference(HOME, np.zeros(6)), MAX_SPEED, PERIOD).aim(target)
