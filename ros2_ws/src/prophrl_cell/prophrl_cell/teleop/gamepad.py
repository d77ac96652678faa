"""Gamepad: SDL's standard layout, or numbered axes, buttons and hats where SDL does not know the pad."""

from prophrl_cell.teleop.reading import Reading

FULL_SCALE = 32767.0
# SDL_GameControllerAxis and SDL_GameControllerButton, in their order.
AXES = ("left_x", "left_y", "right_x", "right_y", "trigger_left", "trigger_right")
BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "left_stick", "right_stick", "left_shoulder", "right_shoulder",
    "dpad_up", "dpad_down", "dpad_left", "dpad_right",
    "misc", "paddle_a", "paddle_b", "paddle_c", "paddle_d", "touchpad",
)  # fmt: skip

BLUETOOTH = 5  # SDL_HARDWARE_BUS_BLUETOOTH
# USB receivers of radio pads that say nothing of a battery: Xbox 360 (two of Microsoft's, one clone), Logitech F710.
RECEIVERS = ((0x045E, 0x0291), (0x045E, 0x0719), (0x045E, 0x02A9), (0x046D, 0xC219), (0x046D, 0xC21F))


def by_radio(power: str, guid: str) -> bool:
    """Whether a pad is seen to have no cable. ``power``: pygame's level, a battery's, wired or unknown; ``guid``: SDL's,
    whose first bytes are bus, checksum, maker, zero and product, 16 bits each, the low byte first."""
    bus, maker, product = (int(guid[i + 2 : i + 4] + guid[i : i + 2], 16) for i in (0, 8, 16))
    return power not in ("wired", "unknown") or bus == BLUETOOTH or (maker, product) in RECEIVERS


def standard_reading(stamp: float, axes: list[int], buttons: list[bool]) -> Reading:
    """A pad that SDL knows: axes as int16 in the order of AXES (y down), buttons in that of BUTTONS."""
    deflections = {name: max(-1.0, value / FULL_SCALE) for name, value in zip(AXES, axes, strict=False)}
    return Reading(stamp, deflections, frozenset(name for name, down in zip(BUTTONS, buttons, strict=False) if down))


def numbered_reading(stamp: float, axes: list[float], buttons: list[bool], hats: list[tuple[int, int]]) -> Reading:
    """A pad that SDL does not know: axis_0.., button_0.., hat_0_x and hat_0_left.. (y up)."""
    deflections = {f"axis_{number}": value for number, value in enumerate(axes)}
    held = {f"button_{number}" for number, down in enumerate(buttons) if down}
    for number, (x, y) in enumerate(hats):
        deflections |= {f"hat_{number}_x": float(x), f"hat_{number}_y": float(y)}
        sides = {"left": x < 0, "right": x > 0, "up": y > 0, "down": y < 0}
        held |= {f"hat_{number}_{side}" for side, down in sides.items() if down}
    return Reading(stamp, deflections, frozenset(held))
