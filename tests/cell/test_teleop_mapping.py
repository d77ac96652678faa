"""From readings to what is asked of the arm: descriptions, dead zone, scale, signs, buttons, and who has the arm."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_cell.teleop.device_config import DEVICES, load_device
from prophrl_cell.teleop.handover import DeadmanGate, Handover
from prophrl_cell.teleop.mapping import Mapper, faded, shape
from prophrl_cell.teleop.reading import Reading
from prophrl_core.config_path import available, find_config
from prophrl_core.errors import UserError


def wish(device, axes=None, held=(), **changes):
    config = dataclasses.replace(load_device(device), dead_zone=0.0, expo=0.0, **changes)
    return Mapper(config).wish(Reading(0.0, axes or {}, frozenset(held)))


def test_every_shipped_description_is_good():
    assert set(available("teleop")) == set(DEVICES)
    assert {load_device(name).kind for name in DEVICES} == set(DEVICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind: gamepad", "kind: joystick"), "kind: expected one of"),
        (("frame: base ", "frame: world "), "frame: expected base or tool"),
        (("linear_speed: 0.15", "linear_speed: 3"), "linear_speed: expected above 0"),
        (("expo: 0.3", "expo: 2"), "expo: expected 0 to 1"),
        (("dead_zone: 0.12", "dead_zone: .nan"), "finite"),
        (("deadman: [left_shoulder]", "deadman: []"), "nothing moves without it"),
        (("deadman: [left_shoulder]", "success: [y]"), "'deadman' is missing"),
        (("x: [-left_y]", "x: [LEFT]"), "axes.x: expected names of a gamepad, got 'LEFT'"),
        (("speed_steps: [0.25, 0.5, 1.0]", "speed_steps: [1.0, 0.5]"), "ascending"),
        (("stop: [x]", "halt: [x]"), "unknown field 'halt'"),
        (("expo: 0.3", "expo: 0.3\ntimeout: 1.0"), "timeout: expected 0.02 to 0.1 s"),
        (("expo: 0.3", "expo: 0.3\nstream: {topic: teleop/pad}"), "stream: expected given for twist and console"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(tmp_path, change, message):
    text = find_config("teleop", "gamepad").read_text()
    assert change[0] in text
    path = tmp_path / "pad.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(UserError, match=message) as caught:
        load_device(path)
    assert "\n" not in str(caught.value)


def test_a_twist_source_has_exactly_one_deadman(tmp_path):
    text = find_config("teleop", "twist").read_text()
    for change in ("", "joy_topic: joy\n  deadman_topic: d"):
        path = tmp_path / "twist.yaml"
        path.write_text(text.replace("deadman_topic: teleop/deadman", change))
        with pytest.raises(UserError, match="either deadman_topic or joy_topic"):
            load_device(path)


@given(st.floats(), st.floats(0, 0.9), st.floats(0, 1))
def test_shape_is_odd_bounded_and_at_rest_in_the_dead_zone(deflection, dead_zone, expo):
    value = shape(deflection, dead_zone, expo)
    assert -1.0 <= value <= 1.0 and shape(-deflection, dead_zone, expo) == -value
    if not abs(deflection) > dead_zone or math.isinf(deflection):
        assert value == 0.0
    elif abs(deflection) >= 1.0:
        assert abs(value) == pytest.approx(1.0)


# What a person means by it, standing behind the base: +x away, +y left, +z up.
@pytest.mark.parametrize(
    ("device", "axes", "held", "component", "sign"),
    [
        ("spacemouse", {"y": 1.0}, (), 0, 1), ("spacemouse", {"x": 1.0}, (), 1, -1),
        ("spacemouse", {"z": 1.0}, (), 2, 1), ("spacemouse", {"rz": 1.0}, (), 5, 1),
        ("spacemouse", {"ry": 1.0}, (), 3, 1), ("spacemouse", {"rx": 1.0}, (), 4, -1),
        ("gamepad", {"left_y": -1.0}, (), 0, 1), ("gamepad", {"left_x": -1.0}, (), 1, 1),
        ("gamepad", {"trigger_right": 1.0}, (), 2, 1), ("gamepad", {"trigger_left": 1.0}, (), 2, -1),
        ("gamepad", {}, ("dpad_right",), 3, 1), ("keyboard", {}, ("w",), 0, 1), ("keyboard", {}, ("d",), 1, -1),
        ("keyboard", {}, ("f",), 2, -1), ("keyboard", {}, ("q",), 5, 1), ("twist", {"roll": 1.0}, (), 3, 1),
    ],
)  # fmt: skip
def test_full_deflection_is_full_speed_the_right_way(device, axes, held, component, sign):
    config = load_device(device)
    twist = wish(device, axes, held).twist
    speed = config.linear_speed if component < 3 else config.angular_speed
    expected = [0.0] * 6
    expected[component] = sign * speed
    assert twist == pytest.approx(expected)


def test_diagonals_are_no_faster_and_opposite_keys_cancel():
    assert math.hypot(*wish("keyboard", held=("w", "a", "r")).twist[:3]) == pytest.approx(0.1)
    assert wish("keyboard", held=("w", "s")).twist == (0.0,) * 6


@given(st.dictionaries(st.sampled_from(["x", "y", "z", "roll", "pitch", "yaw"]), st.floats()))
def test_no_stream_makes_the_arm_faster_than_described(axes):
    twist = wish("twist", axes).twist
    assert all(math.isfinite(value) for value in twist)
    assert math.hypot(*twist[:3]) <= 0.25 * (1 + 1e-9) and math.hypot(*twist[3:]) <= 1.0 * (1 + 1e-9)


def test_buttons():
    pad = Mapper(load_device("gamepad"))
    assert pad.linear_speed == 0.15
    assert pad.actions(["dpad_down", "a", "y", "left_shoulder"]) == ["slower", "gripper_toggle", "success"]
    assert pad.linear_speed == 0.075 and pad.wish(Reading(0.0, {"left_y": -1.0})).twist[0] == pytest.approx(0.075)
    pad.actions(["dpad_down"] * 9)
    assert pad.linear_speed == pytest.approx(0.0375)
    pad.actions(["dpad_up"] * 9)
    assert pad.linear_speed == 0.15
    held = wish("gamepad", held=("left_shoulder", "right_shoulder"))
    assert held.deadman and held.freedrive and not wish("gamepad", held=("a",)).deadman
    assert wish("gamepad", freedrive=True).freedrive


def test_a_deadman_counts_after_a_press_that_was_seen():
    gate = DeadmanGate(0.06)
    assert not gate.step(True, 0.0), "held when the device came"
    assert not gate.step(False, 0.0)
    assert gate.step(True, 0.05)
    assert gate.step(True, 0.07) is None, "silent"
    assert gate.step(True, 0.0), "a hiccup needs no new press"
    assert not gate.step(True, 0.6) and not gate.step(True, 0.0), "a loss does"
    gate.step(False, 0.0)
    assert gate.step(True, 0.0)
    assert not gate.step(None, math.inf) and not gate.step(True, 0.0), "so does an unplugged device"


def test_the_first_has_the_arm_until_it_lets_go():
    handover = Handover()
    assert handover.step({"pad": False, "keys": True}) == "keys"
    assert handover.step({"pad": True, "keys": True}) == "keys"
    assert handover.step({"pad": True, "keys": False}) == "", "a deadman held meanwhile has to be pressed anew"
    assert handover.step({"pad": True, "keys": False}) == ""
    assert handover.step({"pad": False, "keys": False}) == ""
    assert handover.step({"pad": True, "keys": True}) == "pad"


def test_a_short_silence_is_no_press():
    handover = Handover()
    assert handover.step({"twist": True, "keys": False}) == "twist"
    assert handover.step({"twist": None, "keys": False}) == ""
    assert handover.step({"twist": True, "keys": False}) == "twist", "its own silence over, it goes on"
    assert handover.step({"twist": True, "keys": True}) == "twist"
    assert handover.step({"twist": False, "keys": None}) == ""
    assert handover.step({"twist": False, "keys": True}) == "", "held while another had the arm, silent, held again"
    assert handover.step({"twist": True, "keys": True}) == "twist"
    assert handover.step({"twist": None, "keys": True}) == ""
    handover.step({"twist": None, "keys": False})
    assert handover.step({"twist": None, "keys": True}) == "keys"
    assert handover.step({"twist": True, "keys": False}) == "", "another had it meanwhile"


@pytest.mark.parametrize(("age", "left"), [(0.0, 1.0), (0.02, 1.0), (0.03, 0.8), (0.04, 0.4), (0.05, 0.0), (9.0, 0.0)])
def test_a_device_that_falls_silent_slows_the_arm_down_before_it_is_given_up(age, left):
    before = wish("keyboard", held=("space", "w"))
    after = faded(before, age, 0.05)
    assert after.twist == pytest.approx([left * v for v in before.twist]) and any(before.twist)
    assert (after.deadman, after.frame) == (before.deadman, before.frame)
