"""The jog: pads, deadman, speed, frame, gripper. ``static/console.js`` does the work; here it is drawn."""

from collections.abc import Callable

from nicegui import ui

from prophrl_cell.console.jog import JogLimits
from prophrl_cell.console.panel import Desk, panel, say

# (key, axis) as the keys lie on a keyboard; the same as in config/teleop/keyboard.yaml
LEFT_HAND = (("Q", "+rz"), ("W", "+x"), ("E", "-rz"), ("R", "+z"), ("A", "+y"), ("S", "-x"), ("D", "-y"), ("F", "-z"))
RIGHT_HAND = (("", ""), ("I", "+ry"), ("", ""), ("J", "-rx"), ("K", "-ry"), ("L", "+rx"))


def _pad(entries: tuple) -> str:
    return "".join(
        f'<button data-axis="{axis}" tabindex="-1">{axis.replace("-", "−")}<small>{key}</small></button>'
        if axis else "<span></span>"
        for key, axis in entries
    )  # fmt: skip


def _html(limits: JogLimits) -> str:
    return f"""
<div class="jog">
  <div class="pads"><div class="pad four">{_pad(LEFT_HAND)}</div><div class="pad">{_pad(RIGHT_HAND)}</div></div>
  <button type="button" id="deadman" tabindex="-1">Deadman: hold it, or the space bar</button>
  <div class="bar">
    <button type="button" data-frame="base" class="on" tabindex="-1">Base</button>
    <button type="button" data-frame="tool" tabindex="-1">Tool</button>
    <button type="button" id="gripper-toggle" tabindex="-1">Gripper (G)</button>
    <input type="range" id="jog-speed" min="5" max="100" value="40" step="5" tabindex="-1" aria-label="jog speed">
  </div>
  <div class="bar"><span id="jog-status">hold the deadman to move</span>
    <span id="jog-speed-text" class="num faint" data-full="{limits.linear:g}"></span></div>
</div>"""


def build(desk: Desk, limits: JogLimits) -> Callable[[], None]:
    """Draw the panel; returns what brings it up to date."""
    with panel("Teleoperation"):
        ui.html(_html(limits), sanitize=False)
        with ui.element("div").classes("pairs").style("margin-top: 8px"):
            ui.label("tool")
            tool = ui.label("–").classes("num").props('data-see="tcp"')
            ui.label("gripper")
            gripper = ui.label("–").classes("num").props('data-see="gripper"')
            ui.label("devices")
            devices = ui.label("–").classes("wrap").props('data-see="devices"')

    def refresh() -> None:
        position = desk.link.tcp_position()
        tool.set_text("–" if position is None else "x {:.3f}  y {:.3f}  z {:.3f} m".format(*position))
        say(gripper, *_gripper(desk))
        say(devices, *_devices(desk))

    return refresh


def _gripper(desk: Desk) -> tuple[str, str]:
    gripper = desk.link.state.gripper
    if gripper is None:
        return "nothing heard yet", "ok"
    if not gripper.usable:
        return gripper.reason or "not usable", "warn"
    return f"{100 * gripper.openness:.0f} % open" + (", holds something" if gripper.holds_object else ""), "ok"


def _devices(desk: Desk) -> tuple[str, str]:
    teleop = desk.link.state.teleop
    if teleop is None:
        return "teleop_node not heard: this jog moves nothing yet", "warn"
    held = f"{teleop.device} {'moves the arm' if teleop.in_control else 'is held'}" if teleop.deadman else "idle"
    connected = [name for name, there, _ in teleop.devices if there]
    absent = [name for name, there, _ in teleop.devices if not there]
    lines = [held, "connected: " + (", ".join(connected) or "none"), *(["not: " + ", ".join(absent)] if absent else [])]
    return "; ".join(lines), "ok"
