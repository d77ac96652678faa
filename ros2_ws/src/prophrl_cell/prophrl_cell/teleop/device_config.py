"""What one teleoperation device means: its axes, buttons, speeds and frame, read from ``config/teleop/<name>.yaml``."""

import dataclasses
import itertools
import os
import re

from prophrl_core import strict_yaml
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError

BASE, TOOL = "base", "tool"
COMPONENTS = ("x", "y", "z", "roll", "pitch", "yaw")
DEVICES = ("spacemouse", "gamepad", "keyboard", "twist", "console")  # those that come with a description
STREAM_KINDS = ("twist", "console")
RADIO_KINDS = ("gamepad", "spacemouse")  # whose loss can be told
UNITLESS, SPEED = "unitless", "speed"
_TWIST = "|".join(COMPONENTS)
_JOY_BUTTON = r"deadman|button_\d+"
# Names that the axes and buttons of each kind may have; the keyboard's are checked by SDL.
NAMES = {
    "spacemouse": r"x|y|z|rx|ry|rz|left|right|button_\d+",
    "gamepad": r"[a-z]+(_[a-z]+)?|axis_\d+|button_\d+|hat_\d+_(x|y|left|right|up|down)",
    "keyboard": r".+",
    "twist": f"{_TWIST}|{_JOY_BUTTON}",
    "console": f"{_TWIST}|deadman",
}


@dataclasses.dataclass(frozen=True)
class AxisMap:
    """What moves each component of the twist: axes (-1..1) or buttons (0, 1) by name, added up; "-name" reverses."""

    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    z: tuple[str, ...] = ()
    roll: tuple[str, ...] = ()
    pitch: tuple[str, ...] = ()
    yaw: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ButtonMap:
    """Which buttons do what, any of those listed. ``deadman`` and ``freedrive`` are held, the others pressed."""

    deadman: tuple[str, ...]
    freedrive: tuple[str, ...] = ()
    gripper_toggle: tuple[str, ...] = ()
    gripper_open: tuple[str, ...] = ()
    gripper_close: tuple[str, ...] = ()
    faster: tuple[str, ...] = ()
    slower: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    success: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    discard: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class StreamSpec:
    """Topics of a device that is a stream. ``units`` of the twist: speed (m/s, rad/s) or unitless (-1..1)."""

    topic: str
    units: str = SPEED
    deadman_topic: str = ""  # std_msgs/Bool
    joy_topic: str = ""  # sensor_msgs/Joy, whose buttons are button_0, button_1, ...


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """One device. ``frame``: axes of the twist, base or tool. ``speed_steps``: factors of both speeds, last first."""

    kind: str
    linear_speed: float  # m/s at full deflection
    angular_speed: float  # rad/s at full deflection
    axes: AxisMap
    buttons: ButtonMap
    frame: str = BASE
    dead_zone: float = 0.0  # part of the deflection that counts as rest
    expo: float = 0.0  # 0 linear .. 1 cubic
    speed_steps: tuple[float, ...] = (1.0,)
    timeout: float = 0.06  # s without word from the device until the arm stops
    freedrive: bool = False  # the deadman always means moving the arm by hand
    wireless: bool = False  # a radio device is taken, and its deadman counts only while it speaks
    stream: StreamSpec | None = None


def load_device(name_or_path: str | os.PathLike) -> DeviceConfig:
    """Read and check the description of a device by name or path; UserError says what is wrong and where."""
    path = find_config("teleop", name_or_path)
    config = strict_yaml.build(DeviceConfig, strict_yaml.load(path), path.name)
    steps = config.speed_steps
    ascending = all(a < b for a, b in itertools.pairwise((0.0, *steps))) and steps and steps[-1] <= 1.0
    checks = [
        (config.kind in NAMES, "kind", f"one of {', '.join(NAMES)}", config.kind),
        (config.frame in (BASE, TOOL), "frame", "base or tool", config.frame),
        (0.0 < config.linear_speed <= 0.5, "linear_speed", "above 0, at most 0.5 m/s", config.linear_speed),
        (0.0 < config.angular_speed <= 2.0, "angular_speed", "above 0, at most 2 rad/s", config.angular_speed),
        (0.0 <= config.dead_zone < 1.0, "dead_zone", "0 to 1", config.dead_zone),
        (0.0 <= config.expo <= 1.0, "expo", "0 to 1", config.expo),
        (ascending, "speed_steps", "ascending factors above 0, at most 1", list(steps)),
        (0.02 <= config.timeout <= 0.1, "timeout", "0.02 to 0.1 s", config.timeout),
        (config.buttons.deadman, "buttons.deadman", "at least one button: nothing moves without it", []),
        (not config.wireless or config.kind in RADIO_KINDS, "wireless", f"given for {' and '.join(RADIO_KINDS)} only",
         config.wireless),
        ((config.stream is not None) == (config.kind in STREAM_KINDS), "stream",
         f"given for {' and '.join(STREAM_KINDS)}, and for nothing else", config.stream),
    ]  # fmt: skip
    if config.stream is not None:
        stream = config.stream
        sources = bool(stream.deadman_topic) != bool(stream.joy_topic)
        checks += [
            (stream.units in (SPEED, UNITLESS), "stream.units", "speed or unitless", stream.units),
            (config.kind == "console" or sources, "stream", "either deadman_topic or joy_topic, which is the deadman",
             [stream.deadman_topic, stream.joy_topic]),
        ]  # fmt: skip
    checks += [
        (re.fullmatch(NAMES.get(config.kind, ""), word), where, f"names of a {config.kind}", word)
        for where, words in _words(config) for word in words
    ]  # fmt: skip
    for good, field, expected, came in checks:
        if not good:
            raise UserError(f"{path.name}: {field}: expected {expected}, got {came!r}")
    return config


def _words(config: DeviceConfig) -> list[tuple[str, list[str]]]:
    """(field, names of axes and buttons in it)."""
    axes = [(f"axes.{name}", [term.removeprefix("-") for term in getattr(config.axes, name)]) for name in COMPONENTS]
    buttons = [(f"buttons.{f.name}", list(getattr(config.buttons, f.name))) for f in dataclasses.fields(ButtonMap)]
    return axes + buttons
