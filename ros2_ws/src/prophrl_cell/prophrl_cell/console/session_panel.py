"""Trials: start a session, answer what it asks for, label, cancel."""

import json
import time
from collections.abc import Callable

from nicegui import ui

from prophrl_cell.console import session_view
from prophrl_cell.console.panel import Desk, button, confirmed, panel

MAX_TRIALS = 1000
MAX_SEED = 2**31 - 1
REASON_LENGTH = 200


def build(desk: Desk, task: str, instruction: str) -> Callable[[], None]:
    """Draw the panel; returns what brings it up to date."""
    session = desk.link.session
    with panel(f"Session: {task}"):
        ui.label(instruction).classes("faint")
        phase = ui.label().style("font-size: 17px; font-weight: 600; margin: 4px 0").props('data-see="phase"')
        progress = ui.linear_progress(0.0, show_value=False, size="6px", color="blue-grey-4").props("instant-feedback")
        tally = ui.label().classes("faint num").style("margin: 4px 0 8px").props('data-see="tally"')
        with ui.element("div").classes("row-line"):
            operator = ui.input("Operator").props('outlined dense data-enter="operator"').style("flex: 1 1 110px")
            reason = ui.input("Reason (kept with the label)").props('outlined dense data-enter="reason"')
            reason.style("flex: 2 1 150px")
        with ui.element("div").classes("row-line").style("margin-top: 8px") as waiting:
            trials = ui.number("Trials", value=5, min=1, max=MAX_TRIALS, precision=0).style("width: 80px")
            seed = ui.number("First seed", value=0, min=0, precision=0).style("width: 110px")
            trials.props('outlined dense data-enter="trials"')
            seed.props('outlined dense data-enter="seed"')
        with waiting:
            start = button("Start session", lambda: begin(), "start-session", "go")
        with ui.element("div").classes("row-line").style("margin-top: 8px") as at_work:
            ready = button("Scene ready", lambda: scene_ready(), "scene-ready", "go")
            success = button("Success", lambda: label("success"), "success", "go")
            failure = button("Failure", lambda: label("failure"), "failure", "no")
            discard = button("Discard", lambda: label("discarded"), "discard")
            stop = button("Stop", lambda: stop_trial(), "stop")
            cancel = button("Cancel session", lambda: cancel_session(), "cancel-session")

    async def begin() -> None:
        if not 1 <= (trials.value or 0) <= MAX_TRIALS or not 0 <= (seed.value or 0) <= MAX_SEED:
            ui.notify(f"expected 1 to {MAX_TRIALS} trials and a seed of 0 to {MAX_SEED}", color="red-10")
        elif await confirmed("The arm moves home before every trial. Is everybody clear of the arm?", "Start"):
            await desk.ask(desk.link.start_session(int(trials.value), int(seed.value or 0)))

    async def scene_ready() -> None:
        await desk.ask(desk.link.trigger("session/scene_ready"))

    async def label(outcome: str) -> None:
        if await desk.ask(desk.link.label(outcome, reason.value.strip()[:REASON_LENGTH], desk.operator)):
            reason.set_value("")

    async def stop_trial() -> None:
        await desk.ask(desk.link.stop_trial(desk.operator))

    async def cancel_session() -> None:
        if await confirmed("The session ends; a running trial is kept as aborted.", "End the session"):
            await desk.ask(desk.link.cancel_session())

    def named() -> None:
        desk.operator = operator.value.strip()[:40]
        ui.run_javascript(f"window.operatorNamed({json.dumps(desk.operator)})")

    async def recall_name() -> None:
        operator.set_value(await ui.run_javascript("localStorage.getItem('operator') ?? ''", timeout=5.0))

    operator.on("change", named)
    operator.on_value_change(lambda: setattr(desk, "operator", operator.value.strip()[:40]))
    ui.timer(0.1, recall_name, once=True)

    def refresh() -> None:
        now = time.time()
        phase.set_text(session.headline(now))
        counts = ", ".join(f"{n} {outcome}" for outcome, n in session.counts().items())
        last = f"last: {session.last}" if session.last else ""
        tally.set_text(session.message or "; ".join(line for line in (counts, last) if line))
        running = session.running
        share = min(1.0, (now - session.started_s) / session.horizon_s) if running else 0.0
        progress.set_value(round(share, 2))
        idle = session.phase == session_view.IDLE
        waiting.set_visibility(idle)
        at_work.set_visibility(not idle)
        start.set_enabled(idle)
        ready.set_visibility(session.phase == session_view.SCENE)
        for item in (success, failure, discard):
            item.set_visibility(running)
        stop.set_visibility(session.phase == session_view.RUNNING)
        cancel.set_enabled(not idle)

    return refresh
