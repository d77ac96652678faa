"""The jog's arbiter: what moves the arm, for how long, and who has it."""

import math

import pytest
from prophrl_cell.console.jog import EXPIRY_S, KEEP_S, REARM_S, Heartbeat, Jog, JogLimits

BROWSER_CLOCK_S = -400.0  # the browser's clock minus ours


def beat(t, axes=(1, 0, 0, 0, 0, 0), deadman=True, speed=0.5, tool=False, toggles=0):
    return Heartbeat(t + BROWSER_CLOCK_S, deadman, tuple(map(float, axes)), speed, tool, toggles)


@pytest.fixture
def jog():
    jog = Jog(JogLimits(linear=0.2, angular=1.0))
    jog.connect("a")
    jog.heartbeat("a", beat(99.0, deadman=False), 99.0, True)
    return jog


def test_a_held_key_moves_at_its_scale_until_the_heartbeats_end(jog):
    assert jog.heartbeat("a", beat(100.0, (0, -1, 0, 0, 0, 0.5), tool=True), 100.0, True)
    command = jog.command(100.0 + EXPIRY_S - 1e-6)
    assert command.deadman and command.tool_frame and math.isnan(command.openness)
    assert command.twist == pytest.approx((0, -0.1, 0, 0, 0, 0.25))
    assert jog.command(100.0 + EXPIRY_S) is None, "silence is no release"
    assert jog.command(100.2) is None
    jog.heartbeat("a", beat(100.3, deadman=False), 100.3, True)
    ended = jog.command(100.3)
    assert not ended.deadman and not any(ended.twist)


def test_nothing_moves_without_the_deadman_and_release_ends_at_once(jog):
    assert not jog.heartbeat("a", beat(100.0, deadman=False), 100.0, True)
    assert not jog.command(100.0).deadman
    jog.heartbeat("a", beat(100.02), 100.02, True)
    jog.heartbeat("a", beat(100.03, deadman=False), 100.03, True)
    assert not jog.command(100.03).deadman


def test_a_page_that_goes_away_ends_at_once_but_has_not_let_go(jog):
    jog.connect("b")
    jog.heartbeat("a", beat(100.0), 100.0, True)
    jog.disconnect("a")
    assert jog.command(100.001) is None and jog.holder(100.001) == ("", "")
    jog.heartbeat("b", beat(100.02, deadman=False), 100.02, True)
    assert jog.command(100.02) is None, "another page's word so soon is no release"
    jog.connect("again")
    assert not jog.heartbeat("again", beat(101.0), 101.0, True) and jog.command(101.0) is None, "held when it came"
    jog.heartbeat("again", beat(101.02, deadman=False), 101.02, True)
    assert not jog.command(101.02).deadman
    assert jog.heartbeat("again", beat(101.04), 101.04, True) and jog.command(101.05).deadman


def test_a_page_that_let_go_before_it_went_has_let_go(jog):
    jog.heartbeat("a", beat(100.0), 100.0, True)
    jog.heartbeat("a", beat(100.02, deadman=False), 100.02, True)
    jog.disconnect("a")
    assert not jog.command(100.03).deadman


def test_a_burst_of_old_heartbeats_behind_a_stall_moves_nothing(jog):
    jog.heartbeat("a", beat(100.0), 100.0, True)
    assert not any(jog.heartbeat("a", beat(100.02 * 1 + i * 0.02), 100.4, True) for i in range(15))
    assert jog.command(100.4) is None
    assert jog.heartbeat("a", beat(100.41), 100.42, True)  # 10 ms on its way: counts, but runs out 10 ms earlier
    assert jog.command(100.42 + EXPIRY_S - 0.011).deadman
    assert jog.command(100.42 + EXPIRY_S - 0.009) is None


def test_after_a_long_silence_the_deadman_must_be_let_go_once(jog):
    jog.heartbeat("a", beat(100.0), 100.0, True)
    later = 100.0 + REARM_S + 0.01
    assert not jog.heartbeat("a", beat(later), later, True)
    assert not jog.heartbeat("a", beat(later + 0.02), later + 0.02, True)
    assert jog.command(later + 0.02) is None, "it is held still"
    jog.heartbeat("a", beat(later + 0.04, deadman=False), later + 0.04, True)
    assert not jog.command(later + 0.05).deadman
    assert jog.heartbeat("a", beat(later + 0.06), later + 0.06, True)


def test_a_frozen_page_that_comes_back_while_another_let_go_has_to_press_anew(jog):
    jog.connect("b")
    jog.heartbeat("a", beat(100.0), 100.0, True)
    jog.heartbeat("b", beat(103.0, deadman=False), 103.0, True)
    assert not jog.heartbeat("a", beat(104.0), 104.0, True), "held since before its silence"


def test_one_operator_at_a_time_and_it_does_not_jump_over(jog):
    jog.connect("b")
    jog.name("a", " ada ")
    assert jog.heartbeat("a", beat(100.0), 100.0, True)
    assert jog.holder(100.0) == ("a", "ada")
    assert not jog.heartbeat("b", beat(100.01, (0, 0, 1, 0, 0, 0)), 100.01, True)
    assert jog.command(100.02).twist[0] > 0
    jog.heartbeat("a", beat(100.02, deadman=False), 100.02, True)
    free = 100.02 + KEEP_S + 0.1
    jog.heartbeat("b", beat(100.4), 100.4, True)
    assert not jog.heartbeat("b", beat(free), free, True), "b never let go"
    jog.heartbeat("b", beat(free + 0.02, deadman=False), free + 0.02, True)
    assert jog.heartbeat("b", beat(free + 0.04), free + 0.04, True)
    assert jog.holder(free + 0.04)[0] == "b"


def test_the_gripper_is_left_alone_until_toggled_and_again_after_release(jog):
    jog.heartbeat("a", beat(100.0, toggles=0), 100.0, True)
    jog.heartbeat("a", beat(100.02, toggles=1), 100.02, True)
    assert jog.command(100.02).openness == 0.0
    jog.heartbeat("a", beat(100.04, toggles=2), 100.04, True)
    assert jog.command(100.04).openness == 1.0
    jog.heartbeat("a", beat(100.06, toggles=2, deadman=False), 100.06, True)
    jog.heartbeat("a", beat(100.08, toggles=2), 100.08, True)
    assert math.isnan(jog.command(100.08).openness)
    jog.heartbeat("a", beat(100.10, toggles=3), 100.10, False)
    assert jog.command(100.10).openness == 1.0, "it was closed when toggled"


@pytest.mark.parametrize("change", [
    {"axes": [0] * 5}, {"axes": "xxxxxx"}, {"t": None}, {"t": float("nan")}, {"speed": "1"}, {"toggles": True},
    {"axes": [0, 0, 0, 0, 0, float("inf")]},
])  # fmt: skip
def test_a_message_that_is_no_heartbeat_is_refused(change):
    good = {"t": 1.0, "deadman": True, "axes": [9, 0, 0, 0, 0, 0], "speed": 3.0, "toggles": 0, "frame": "base"}
    parsed = Heartbeat.parse(good)
    assert parsed.axes[0] == 1.0 and parsed.speed == 1.0
    with pytest.raises(ValueError):
        Heartbeat.parse(good | change)
