"""The bar at the top: what the arm is doing and why, who moves it, and the operator's words to it."""

import time
from collections.abc import Callable

from nicegui import ui

from prophrl_cell.console import wording
from prophrl_cell.console.panel import LEVELS, Desk, button, confirmed

CLEAR = "Is everybody clear of the arm?"


def build(desk: Desk) -> Callable[[], None]:
    """Draw the bar; returns what brings it up to date."""
    with ui.element("header").classes("safety").props('data-see="safety"'):
        with ui.element("div").classes("state"):
            lamp = ui.element("div").classes("lamp")
            with ui.element("div").style("min-width: 0"):
                headline = ui.label().classes("headline").props('data-see="mode"')
                reason = ui.label().classes("reason").props('data-see="reason"')
        control = _fact("moved by", "control")
        speed = _fact("speed", "speed", "minor")
        recorder = _fact("recorder", "recorder", "minor")
        with ui.element("div").classes("words"):
            _words(desk)

    def refresh() -> None:
        now, state = time.monotonic(), desk.link.state
        line = wording.safety(state.arm, now)
        headline.set_text(line.headline)
        reason.set_text(line.line)
        lamp.classes(add=line.level, remove=" ".join(level for level in LEVELS if level != line.level))
        arm = state.arm
        control.set_text(wording.CONTROLS.get(arm.control, arm.control) if arm else "–")
        speed.set_text(f"{100 * arm.speed_scaling:.0f} %" if arm else "–")
        recorder.set_text(wording.recorder_level(state.recorder, now)[1])

    return refresh


def _fact(name: str, see: str, classes: str = "") -> ui.label:
    with ui.element("div").classes(f"fact {classes}"):
        ui.label(name).classes("name")
        return ui.label("–").classes("value num").props(f'data-see="{see}"')


def _words(desk: Desk) -> None:
    async def hold() -> None:
        await desk.ask(desk.link.trigger("arm/hold"))

    async def resume() -> None:
        if await confirmed(f"The arm may move again. {CLEAR}", "Resume"):
            await desk.ask(desk.link.trigger("arm/resume"))

    async def unlock() -> None:
        if await confirmed(f"The brakes are released. {CLEAR}", "Unlock"):
            await desk.ask(desk.link.trigger("arm/unlock"))

    async def home() -> None:
        if await confirmed(f"The gripper opens and the arm moves home. {CLEAR}", "Move home"):
            await desk.ask(desk.link.trigger("arm/home"))

    button("HOLD", hold, "hold", "hold")
    button("Resume", resume, "resume")
    button("Unlock", unlock, "unlock")
    button("Home", home, "home")
