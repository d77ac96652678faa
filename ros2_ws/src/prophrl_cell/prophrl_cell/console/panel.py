"""What every panel of the page shares: its frame, labels that change, and how an answer is shown."""

import asyncio
from concurrent.futures import Future

from nicegui import ui

from prophrl_cell.console.cell_link import Answer, CellLink

ANSWER_TIMEOUT_S = 65.0  # loading a policy takes longest
LEVELS = ("ok", "note", "warn", "danger")


class Desk:
    """One operator's page: the link to the cell, and who sits here."""

    def __init__(self, link: CellLink):
        self.link = link
        self.operator = ""

    async def ask(self, request: "Future[Answer]") -> bool:
        """Wait for the cell's answer and show it."""
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(request), ANSWER_TIMEOUT_S)
        except TimeoutError:
            answer = Answer(False, f"no answer within {ANSWER_TIMEOUT_S:.0f} s; see the logs of the cell")
        colour, seconds = ("blue-grey-9", 4) if answer.ok else ("red-10", 9)
        ui.notify(answer.line, color=colour, position="bottom", timeout=1000 * seconds)
        return answer.ok


def panel(title: str, classes: str = "") -> ui.element:
    """A framed part of the page; use it as a context manager."""
    frame = ui.element("section").classes(f"panel {classes}")
    with frame:
        ui.label(title).classes("title")
    return frame


def button(text: str, on_click, name: str, classes: str = "") -> ui.button:
    """A flat button; ``name`` is how tests and scripts find it."""
    return ui.button(text, on_click=on_click, color=None).props(f'unelevated no-caps data-do="{name}"').classes(classes)


def pair(name: str) -> ui.label:
    """A name and a value in a ``pairs`` grid; the value's label."""
    ui.label(name)
    return ui.label("–").classes("num wrap")


def say(label: ui.label, text: str, level: str = "ok", quiet: bool = True) -> None:
    """Set a label's text, and its colour when there is something to look at (``quiet``: ok has no colour)."""
    label.set_text(text)
    wanted = f"{level}-text" if not (quiet and level == "ok") else ""
    label.classes(add=wanted, remove=" ".join(f"{other}-text" for other in LEVELS if f"{other}-text" != wanted))


async def confirmed(question: str, yes: str) -> bool:
    """Ask before motion follows."""
    with ui.dialog() as dialog, ui.card().style("background: #1b2128; min-width: 320px"):
        ui.label(question).style("font-size: 16px")
        with ui.row().style("justify-content: flex-end; width: 100%"):
            button("Cancel", lambda: dialog.submit(False), "cancel")
            button(yes, lambda: dialog.submit(True), "confirm", "go")
    answer = await dialog
    dialog.delete()
    return bool(answer)
