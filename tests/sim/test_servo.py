"""servoJ's follower: exact where no limit is met, within the limits everywhere, on target in the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_core.ur_kinematics import UR_MODELS
from prophrl_sim.servo import ServoConfig, ServoJ

SPEED = UR_MODELS["ur30"].max_speed
PERIOD = 0.002


def test_a_small_step_is_followed_as_a_critically_damped_second_order():
    lookahead = 0.1
    servo = ServoJ(SPEED, PERIOD, ServoConfig(lookahead, 300.0, max_acceleration=1e9))
    w = 2.0 / lookahead
    for k in range(1, 300):
        q = servo.step(np.full(6, 0.01))
        t = k * PERIOD
        assert q == pytest.approx(np.full(6, 0.01 * (1 - (1 + w * t) * np.exp(-w * t))), abs=1e-12)


@pytest.mark.parametrize(("gain", "share"), [(300.0, 1.0), (1200.0, 0.5)])
def test_a_ramp_is_followed_with_the_lookahead_as_lag(gain, share):
    lookahead, speed = 0.05, 0.5
    servo = ServoJ(SPEED, PERIOD, ServoConfig(lookahead, gain))
    for k in range(1, 2001):
        q = servo.step(np.full(6, speed * k * PERIOD))
    # a target held over each tick looks half a period older than the ramp
    lag = (speed * 2000 * PERIOD - q) / speed
    assert lag == pytest.approx(np.full(6, lookahead * share), abs=PERIOD)
    assert servo.qd == pytest.approx(np.full(6, speed), rel=0.01)  # ripples within a tick


@settings(max_examples=40, deadline=None)
@given(
    targets=st.lists(st.lists(st.floats(-3, 3), min_size=6, max_size=6), min_size=1, max_size=4),
    lookahead=st.floats(0.03, 0.2),
    gain=st.floats(100, 2000),
)
def test_speed_and_acceleration_stay_within_limits(targets, lookahead, gain):
    config = ServoConfig(lookahead, gain)
    servo = ServoJ(SPEED, PERIOD, config)
    before = servo.q
    for target in targets:
        for _ in range(100):
            speed = servo.qd
            q = servo.step(np.array(target))
            assert np.all(np.abs(servo.qd) <= np.array(SPEED) + 1e-9)
            assert np.all(np.abs(servo.qd - speed) <= config.max_acceleration * PERIOD + 1e-9)
            assert np.all(np.abs(q - before) <= (np.array(SPEED) + config.max_acceleration * PERIOD) * PERIOD)
            before = q


def test_it_arrives_at_a_far_target():
    servo = ServoJ(SPEED, PERIOD)
    target = np.array([1.5, -1.0, 2.0, -2.5, 1.0, 3.0])
    for _ in range(3000):
        q = servo.step(target)
    assert q == pytest.approx(target, abs=1e-9)
    assert servo.qd == pytest.approx(np.zeros(6), abs=1e-9)


def test_configuring_between_ticks_moves_nothing():
    servo = ServoJ(SPEED, PERIOD)
    for _ in range(20):
        servo.step(np.full(6, 0.1))
    q, qd = servo.q, servo.qd
    servo.configure(ServoConfig(0.2, 100.0))
    assert np.array_equal(servo.q, q) and np.array_equal(servo.qd, qd)
