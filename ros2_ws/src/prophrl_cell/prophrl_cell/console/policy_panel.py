"""The policy: which one is in force, load another, go back to the one before; only between episodes."""

import time
from collections.abc import Callable
from pathlib import Path

from nicegui import ui
from prophrl_core.errors import UserError

from prophrl_cell.console.bundle_shelf import bundle_folder, bundles
from prophrl_cell.console.panel import Desk, button, pair, panel, say
from prophrl_cell.console.wording import STATUS_SILENCE_S

LOOK_S = 5.0
LEVEL = {"unloaded": "warn", "idle": "ok", "running": "ok", "fault": "danger"}


def build(desk: Desk, folder: Path) -> Callable[[], None]:
    """Draw the panel; returns what brings it up to date."""
    known = {"at": -LOOK_S, "entries": []}
    with panel("Policy"):
        with ui.element("div").classes("pairs"):
            version, state, latency = pair("version"), pair("state"), pair("latency")
        version.props('data-see="policy-version"')
        state.props('data-see="policy-state"')
        with ui.element("div").classes("row-line").style("margin-top: 8px"):
            choice = ui.select([], label="Bundle").props('outlined dense data-enter="bundle"').style("flex: 1 1 100px")
            load = button("Load", lambda: load_chosen(), "load-policy")
            back = button("Roll back", lambda: roll_back(), "roll-back")

    async def load_named(name: str) -> None:
        try:
            path = bundle_folder(folder, name)
        except UserError as error:
            ui.notify(str(error), color="red-10")
            return
        await desk.ask(desk.link.load_policy(path))

    async def load_chosen() -> None:
        if choice.value:
            await load_named(choice.value)

    async def roll_back() -> None:
        name = _before(desk, known["entries"])
        if name:
            await load_named(name)

    def refresh() -> None:
        now, policy = time.monotonic(), desk.link.state.policy
        if now - known["at"] > LOOK_S:
            known.update(at=now, entries=bundles(folder))
            names = [entry.name for entry in known["entries"]]
            if names != choice.options:
                choice.set_options(names, value=choice.value if choice.value in names else (names or [None])[0])
        here = policy is not None and now - policy.heard_s < STATUS_SILENCE_S
        if not here:
            say(state, *(("no policy node", "ok") if policy is None else ("policy node silent", "warn")))
        else:
            words = f"{policy.state}: {policy.reason}" if policy.reason else policy.state
            say(state, f"{words} ({policy.backend})" if policy.backend else words, LEVEL.get(policy.state, "warn"))
        version.set_text(policy.version or "–" if policy else "–")
        latency.set_text(f"{policy.latency_p50_ms:.0f} ms, inference {policy.inference_p50_ms:.0f} ms" if here else "–")
        free = here and not desk.link.session.running
        load.set_enabled(bool(free and choice.value))
        back.set_enabled(bool(free and _before(desk, known["entries"])))

    return refresh


def _before(desk: Desk, entries: list) -> str:
    """Name of the bundle that was in force before this one; empty when there is none to be found."""
    versions = desk.link.state.policy_versions
    names = {entry.version: entry.name for entry in entries}
    return names.get(versions[-2], "") if len(versions) > 1 else ""
