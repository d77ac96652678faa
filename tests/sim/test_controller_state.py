"""Power, safety and program states, without a network."""

import math

import pytest
from prophrl_sim.controller.robot_state import RobotMode, RobotState, RuntimeState, SafetyMode, StateTiming


def later(state: RobotState, seconds: float) -> None:
    for _ in range(round(seconds / 0.002)):
        state.advance(0.002)


def test_power_up_takes_its_steps():
    state = RobotState()
    state.power_off()
    assert state.mode is RobotMode.POWER_OFF and not state.can_move and state.status_bits & 1 == 0
    state.power_on()
    assert state.mode is RobotMode.POWER_ON
    later(state, 0.6)
    assert state.mode is RobotMode.IDLE and not state.can_move
    state.release_brakes()
    later(state, 0.4)
    assert state.can_move


def test_releasing_brakes_from_off_powers_up_first():
    state = RobotState()
    state.power_off()
    state.release_brakes()
    later(state, 1.0)
    assert state.mode is RobotMode.RUNNING


def test_a_program_stops_with_power_and_cannot_start_without():
    state = RobotState()
    assert state.play() and state.program_runs and state.status_bits & 2
    state.power_off()
    assert state.runtime is RuntimeState.STOPPING
    later(state, 0.2)
    assert state.runtime is RuntimeState.STOPPED and not state.play()


def test_protective_stop_unlocks_only_after_its_delay():
    state = RobotState(StateTiming(unlock_delay=5.0))
    state.play()
    state.protective_stop("test")
    assert state.safety_bits == 1 << 2 | 1 << 10 and not state.can_move and not state.program_runs
    later(state, 4.9)
    assert not state.unlock_protective_stop() and state.safety is SafetyMode.PROTECTIVE_STOP
    later(state, 0.2)
    assert state.unlock_protective_stop() and state.safety_bits == 1


def test_a_protective_stop_may_leave_the_program_playing():
    state = RobotState()
    state.play()
    state.protective_stop("test", keep_program=True)
    assert state.program_runs and not state.can_move


def test_power_stays_off_while_the_emergency_stop_is_pressed():
    state = RobotState()
    state.press_estop()
    assert state.safety is SafetyMode.ROBOT_EMERGENCY_STOP and state.safety_bits & 1 << 7
    state.power_on()
    later(state, 2.0)
    assert state.mode is RobotMode.POWER_OFF
    state.release_estop()
    assert state.safety is SafetyMode.NORMAL and state.mode is RobotMode.POWER_OFF


@pytest.mark.parametrize("fraction, slider", [(0.5, 0.5), (-1.0, 0.0), (7.0, 1.0), (math.nan, 1.0)])
def test_the_speed_slider_stays_within_its_range(fraction, slider):
    state = RobotState()
    state.set_speed_slider(fraction)
    assert state.speed_slider == slider
