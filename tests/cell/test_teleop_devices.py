"""Teleoperation devices as bytes, events and messages: what they say, and that nothing breaks their readers."""

import math
import struct
import sys
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_cell.teleop import gamepad, keyboard
from prophrl_cell.teleop.delay import Delay
from prophrl_cell.teleop.device_config import load_device
from prophrl_cell.teleop.reading import Latest, Reading
from prophrl_cell.teleop.spacemouse import UDEV_RULE, SpaceMouseReader, SpaceMouseState, is_spacemouse
from prophrl_cell.teleop.stream import TwistStream


def report(kind, *values):
    return bytes([kind]) + struct.pack(f"<{len(values)}h", *values)


def test_a_spacemouse_of_either_format_pushed_right_away_and_up():
    older, newer = SpaceMouseState(), SpaceMouseState()
    assert older.feed(report(1, 350, -175, -70)) and older.feed(report(2, 35, 70, -105))
    assert newer.feed(report(1, 350, -175, -70, 35, 70, -105))
    for state in (older, newer):
        assert state.axes == pytest.approx({"x": 1.0, "y": 0.5, "z": 0.2, "rx": 0.1, "ry": -0.2, "rz": 0.3})
        assert state.deflected
        state.rest()
        assert not state.deflected


def test_spacemouse_buttons_as_observed_and_other_reports():
    state = SpaceMouseState()
    said = [("030100", {"left"}), ("030300", {"left", "right"}), ("030200", {"right"}), ("0300020000", {"button_10"})]
    for data, held in said:
        assert not state.feed(bytes.fromhex(data))
        assert state.held == held
    state.feed(bytes.fromhex("03000000"))
    for data in ("", "17", "1764", "01", "0102", "0200000000", "03"):
        assert not state.feed(bytes.fromhex(data))
    assert state.held == frozenset() and not state.deflected


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_break_the_spacemouse(reports):
    state = SpaceMouseState()
    for data in reports:
        state.feed(data)
        assert len(state.axes) == 6 and all(-1.0 <= value <= 1.0 for value in state.axes.values())
        assert all(name in ("left", "right") or name.startswith("button_") for name in state.held)


def test_only_the_motion_interface_of_known_devices_is_opened():
    assert is_spacemouse({"vendor_id": 0x256F, "product_id": 0xC635, "usage_page": 1, "usage": 8})
    assert is_spacemouse({"vendor_id": 0x046D, "product_id": 0xC626, "usage_page": 0, "usage": 0})
    assert not is_spacemouse({"vendor_id": 0x256F, "product_id": 0xC652, "usage_page": 1, "usage": 2})
    assert not is_spacemouse({"vendor_id": 0x046D, "product_id": 0xC077, "usage_page": 1, "usage": 2})
    assert not is_spacemouse({})


@pytest.fixture
def mouse(monkeypatch):
    """A SpaceMouse below hidapi: ``reports`` are read once, then nothing comes; an exception is raised."""

    class Mouse:
        def __init__(self):
            self.reports, self.refuses = [], False

        def open_path(self, path):
            if self.refuses:
                raise OSError("open failed")

        def read(self, length, timeout_ms):
            time.sleep(0.002)
            report = self.reports.pop(0) if self.reports else b""
            if isinstance(report, OSError):
                raise report
            return list(report)

        def close(self): ...

    mouse, module = Mouse(), types.ModuleType("hidraw")
    info = {"vendor_id": 0x256F, "product_id": 0xC635, "path": b"x", "product_string": "SpaceMouse Compact"}
    module.enumerate, module.device = lambda: [info], lambda: mouse
    monkeypatch.setitem(sys.modules, "hidraw", module)
    return mouse


def wait(condition):
    deadline = time.monotonic() + 3.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_deflected_spacemouse_that_falls_silent_grows_old_and_one_that_is_pulled_out_is_lost(mouse):
    latest = Latest()
    reader = SpaceMouseReader(latest)
    try:
        wait(lambda: latest.reading is not None)
        first = latest.reading.stamp
        wait(lambda: latest.reading.stamp > first + 0.02)  # at rest silence is no news
        mouse.reports = [report(1, 350, 0, 0), bytes.fromhex("030100")]
        wait(lambda: latest.reading.held)
        stamp = latest.reading.stamp
        time.sleep(0.05)
        assert latest.reading.stamp == stamp and latest.reading.axes["x"] == 1.0
        mouse.reports = [OSError("read error")]
        wait(lambda: latest.reading is None)
        assert latest.reason == "SpaceMouse Compact: lost (read error); plug it in again"
        wait(lambda: latest.reading is not None)
        assert latest.reading.held == {"left"} and not any(latest.reading.axes.values()), "known to be an old press"
    finally:
        reader.close()


def test_a_spacemouse_that_may_not_be_opened_names_the_udev_rule(mouse):
    latest, mouse.refuses = Latest(), True
    reader = SpaceMouseReader(latest)
    try:
        wait(lambda: "expected permission" in latest.reason)
        assert UDEV_RULE in latest.reason and "\n" not in latest.reason
    finally:
        reader.close()


def test_pads_that_sdl_knows_and_pads_that_it_does_not():
    known = gamepad.standard_reading(1.0, [-32768, 32767, 0, 0, 0, 32767], [True] + [False] * 8 + [True])
    assert known.axes["left_x"] == -1.0 and known.axes["left_y"] == 1.0 == known.axes["trigger_right"]
    assert known.held == {"a", "left_shoulder"}
    other = gamepad.numbered_reading(1.0, [0.25], [False, True], [(-1, 1)])
    assert other.axes == {"axis_0": 0.25, "hat_0_x": -1.0, "hat_0_y": 1.0}
    assert other.held == {"button_1", "hat_0_left", "hat_0_up"}


def test_keys_are_let_go_when_the_window_loses_them():
    keys = keyboard.KeyState()
    keys.down("space")
    keys.down("w")
    keys.up("w")
    keys.up("never pressed")
    assert keys.held == {"space"}
    keys.focus_lost(keys.held)
    keys.down("space")  # the repeat of a key that was never let go
    assert keys.held == frozenset()
    keys.up("space")
    keys.down("space")
    assert keys.held == {"space"}


def test_the_keyboard_says_when_there_is_no_display_and_knows_its_keys():
    assert "console" in keyboard.display_missing({}) and keyboard.display_missing({"DISPLAY": ":0"}) == ""
    pygame = pytest.importorskip("pygame")
    config = load_device("keyboard")
    assert keyboard.unknown_keys(config, pygame.key.key_code) == []
    assert "hold space" in keyboard.help_lines(config)[0]


def test_a_short_press_between_two_looks_is_not_lost():
    latest = Latest()
    latest.put(Reading(0.0, held=frozenset({"a"})))  # was down when the device came: no press
    for held in ({"b"}, set(), {"b"}):
        latest.put(Reading(0.1, held=frozenset(held)))
    assert latest.take_presses() == ["b", "b"] and latest.take_presses() == []
    latest.lose("gone")
    assert latest.reading is None and latest.reason == "gone"


def test_a_twist_needs_its_deadman_stream_and_a_frame_that_is_known():
    config, latest = load_device("twist"), Latest()
    stream = TwistStream(config, latest)
    stream.twist((0.1, 0, 0, 0, 0, 0.5), "tool0", 10.0)
    assert "nothing heard on teleop/deadman" in latest.reason
    stream.held(frozenset({"deadman"}), 10.01)
    reading = latest.reading
    assert (reading.stamp, reading.frame, reading.held) == (10.0, "tool", {"deadman"})
    assert (reading.axes["x"], reading.axes["yaw"]) == pytest.approx((0.1 / config.linear_speed, 0.5))
    stream.twist((0, 0, 0, 0, 0, 0), "camera", 10.02)
    assert "expected frame_id base or tool0, got 'camera'" in latest.reason
    stream.twist((math.nan,) * 6, "", 10.03)
    assert latest.reading.frame == ""
    stream.check(10.2)
    assert latest.reading is not None
    stream.check(11.0)
    assert "nothing heard on teleop/twist" in latest.reason


def test_a_twist_that_was_held_back_is_not_fresh():
    delay = Delay()
    for number in range(100):
        assert delay.of(500.0 + 0.02 * number, 10.0 + 0.02 * number + 0.004 * (number % 3)) <= 0.0081
    assert delay.of(502.0, 13.0) == pytest.approx(1.0, abs=1e-3)
    assert delay.of(503.04, 13.04) == pytest.approx(0.0, abs=1e-3)

    config, latest = load_device("twist"), Latest()
    stream = TwistStream(config, latest)
    stream.held(frozenset({"deadman"}), 10.0)
    stream.twist((0.1, 0, 0, 0, 0, 0), "base", 10.0)
    stream.twist((0.1, 0, 0, 0, 0, 0), "base", 10.3, age_s=0.2)
    assert latest.reading.stamp == 10.0, "the deadman's"
    stream.held(frozenset({"deadman"}), 10.4)
    assert latest.reading.stamp == pytest.approx(10.1), "the twist's, held back"
    stream.twist((0.1, 0, 0, 0, 0, 0), "base", 10.42, age_s=1.0)
    assert latest.reading is None
    assert latest.reason.startswith("teleop/twist: its messages come 1.00 s later than they did")
    stream.twist((0.1, 0, 0, 0, 0, 0), "base", 10.44)
    assert latest.reading.stamp == 10.4
