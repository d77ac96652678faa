"""Devices without a cable: what is out of reach looks as it did last, and must not hold the deadman for that."""

import math
import struct
import sys
import time
import types

import pytest
from prophrl_cell.teleop import gamepad
from prophrl_cell.teleop.device_config import load_device
from prophrl_cell.teleop.handover import DeadmanGate
from prophrl_cell.teleop.reading import RADIO_SILENCE_S, Latest, radio_stamp
from prophrl_cell.teleop.sdl_reader import SdlReader
from prophrl_cell.teleop.spacemouse import SpaceMouseReader, by_radio
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError

USB_PAD, BLUETOOTH_PAD = "030000005e0400008e02000014010000", "050000005e040000fd02000003090000"
F710 = "030000006d0400001fc2000005030000"


def wait(condition):
    deadline = time.monotonic() + 3.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(("power", "guid", "radio"), [
    ("unknown", USB_PAD, False), ("wired", USB_PAD, False), ("full", USB_PAD, True), ("low", USB_PAD, True),
    ("unknown", BLUETOOTH_PAD, True), ("wired", BLUETOOTH_PAD, True), ("unknown", F710, True),
])  # fmt: skip
def test_pads_without_a_cable_are_known_by_battery_bus_or_receiver(power, guid, radio):
    assert gamepad.by_radio(power, guid) is radio


def test_spacemice_without_a_cable_are_known_by_receiver_or_bus():
    assert by_radio({"vendor_id": 0x256F, "product_id": 0xC652}) and by_radio({"vendor_id": 0x256F, "bus_type": 2})
    assert not by_radio({"vendor_id": 0x256F, "product_id": 0xC635, "bus_type": 1})


def test_only_kinds_whose_loss_can_be_told_may_be_wireless(tmp_path):
    for name, good in (("gamepad", True), ("spacemouse", True), ("keyboard", False), ("console", False)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(find_config("teleop", name).read_text() + "wireless: true\n")
        if good:
            assert load_device(path).wireless and not load_device(name).wireless
        else:
            with pytest.raises(UserError, match="wireless: expected given for gamepad and spacemouse only"):
                load_device(path)


def test_a_radio_device_held_still_is_taken_for_lost():
    gate, heard = DeadmanGate(0.06), 10.0

    def step(now, deadman):
        return gate.step(deadman, now - radio_stamp(now, heard, deadman))

    assert not step(10.0, False) and not step(20.0, False), "at rest silence is no news"
    heard = 20.0
    assert step(20.0, True) and step(20.0 + RADIO_SILENCE_S - 0.01, True)
    assert step(20.0 + RADIO_SILENCE_S + 0.01, True) is None
    assert step(20.6, True) is False
    heard = 20.7
    assert step(20.7, True) is False, "it came back as it was: to be let go once"


class Pad:
    """A joystick below pygame: eight buttons, button 4 is the deadman."""

    def __init__(self):
        self.power, self.guid, self.down, self.events = "unknown", USB_PAD, False, []

    def module(self):
        pad = self
        names = ("JOYDEVICEADDED", "JOYDEVICEREMOVED", "JOYAXISMOTION", "WINDOWFOCUSLOST", "KEYDOWN", "KEYUP", "QUIT")
        sdl = types.ModuleType("pygame")
        for number, name in enumerate(names):
            setattr(sdl, name, number)
        joystick = types.SimpleNamespace(
            get_instance_id=lambda: 7, get_power_level=lambda: pad.power, get_guid=lambda: pad.guid,
            get_name=lambda: "Pad", get_numaxes=lambda: 1, get_axis=lambda number: 1.0, get_numbuttons=lambda: 8,
            get_button=lambda number: pad.down and number == 4, get_numhats=lambda: 0,
        )  # fmt: skip
        sdl.error = type("error", (Exception,), {})
        sdl.display = types.SimpleNamespace(init=lambda: None, quit=lambda: None)
        sdl.joystick = types.SimpleNamespace(init=lambda: None, Joystick=lambda index: joystick, get_count=lambda: 1)
        sdl.event = types.SimpleNamespace(get=self._get)
        sdl.quit = lambda: None
        self.sdl = sdl
        self.say(sdl.JOYDEVICEADDED, device_index=0)
        return sdl

    def say(self, kind, **fields):
        self.events.append(types.SimpleNamespace(type=kind, **fields))

    def move(self):
        self.say(self.sdl.JOYAXISMOTION, instance_id=7)

    def _get(self):
        events, self.events = self.events, []
        return events


@pytest.fixture
def pad(monkeypatch):
    pad = Pad()
    controller = types.SimpleNamespace(init=lambda: None, is_controller=lambda index: False)
    monkeypatch.setitem(sys.modules, "pygame", pad.module())
    monkeypatch.setitem(sys.modules, "pygame._sdl2", types.SimpleNamespace(controller=controller))
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    return pad


@pytest.fixture
def read(tmp_path):
    """Starter: ``read(wireless)`` -> where a pad's readings come."""
    readers = []

    def start(wireless):
        text = find_config("teleop", "gamepad").read_text().replace("[left_shoulder]", "[button_4]")
        path = tmp_path / "pad.yaml"
        path.write_text(text + f"wireless: {'true' if wireless else 'false'}\n")
        latest = Latest()
        readers.append(SdlReader(None, (load_device(path), latest)))
        return latest

    yield start
    for reader in readers:
        reader.close()


@pytest.mark.parametrize(("power", "guid"), [("medium", USB_PAD), ("unknown", BLUETOOTH_PAD), ("unknown", F710)])
def test_a_radio_pad_is_refused_in_one_line_unless_its_description_says_wireless(pad, read, power, guid):
    pad.power, pad.guid = power, guid
    latest = read(wireless=False)
    wait(lambda: "connected by radio" in latest.reason)
    assert "wireless: true" in latest.reason and "\n" not in latest.reason and latest.reading is None


def test_a_pad_whose_battery_is_known_late_is_dropped(pad, read):
    latest = read(wireless=False)
    wait(lambda: latest.reading is not None)
    pad.power = "full"
    wait(lambda: "connected by radio" in latest.reason)
    pad.power = "unknown"
    time.sleep(0.05)
    assert latest.reading is None


def test_a_radio_pad_that_vanishes_with_its_deadman_held_grows_old(pad, read):
    pad.guid = BLUETOOTH_PAD
    latest = read(wireless=True)
    wait(lambda: latest.reading is not None)
    time.sleep(RADIO_SILENCE_S + 0.1)
    assert time.monotonic() - latest.reading.stamp < 0.1, "not held: silence is no news"
    pad.down = True
    pad.move()
    wait(lambda: latest.reading.held)
    for _ in range(10):
        time.sleep(0.05)
        pad.move()
    held = time.monotonic()
    assert held - latest.reading.stamp < 0.1, "it speaks"
    wait(lambda: time.monotonic() - latest.reading.stamp > 0.25)
    assert time.monotonic() - held < RADIO_SILENCE_S + 0.1


def test_a_pad_on_a_cable_may_be_held_still(pad, read):
    latest, pad.down = read(wireless=False), True
    wait(lambda: latest.reading is not None)
    time.sleep(RADIO_SILENCE_S + 0.2)
    assert time.monotonic() - latest.reading.stamp < 0.1


@pytest.fixture
def mouse(monkeypatch):
    """A SpaceMouse on its receiver: ``reports`` are read once, then nothing comes."""
    reports, module = [], types.ModuleType("hidraw")

    class Mouse:
        def open_path(self, path): ...

        def read(self, length, timeout_ms):
            time.sleep(0.002)
            return list(reports.pop(0)) if reports else []

        def close(self): ...

    info = {"vendor_id": 0x256F, "product_id": 0xC652, "usage_page": 1, "usage": 8, "path": b"x"}
    module.enumerate, module.device = lambda: [info], Mouse
    monkeypatch.setitem(sys.modules, "hidraw", module)
    return reports


def test_a_radio_spacemouse_is_taken_when_said_and_its_deadman_counts_while_it_reports(mouse):
    latest = Latest()
    reader = SpaceMouseReader(latest)
    try:
        wait(lambda: "connected by radio" in latest.reason)
    finally:
        reader.close()
    reader = SpaceMouseReader(latest, True, ("left",))
    try:
        wait(lambda: latest.reading is not None)
        mouse.append(bytes.fromhex("030100"))
        wait(lambda: latest.reading.held)
        held = time.monotonic()
        wait(lambda: time.monotonic() - latest.reading.stamp > 0.25)
        assert time.monotonic() - held < RADIO_SILENCE_S + 0.15, "a freedrive must not outlive its device"
        mouse.append(bytes([1]) + struct.pack("<3h", 100, 0, 0))
        wait(lambda: latest.reading.axes["x"] > 0 and time.monotonic() - latest.reading.stamp < 0.1)
        mouse.append(bytes.fromhex("030000"))
        wait(lambda: not latest.reading.held)
        assert math.isfinite(latest.reading.stamp)
    finally:
        reader.close()
