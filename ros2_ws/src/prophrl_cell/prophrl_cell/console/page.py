"""The page: its panels in their places, and one clock that keeps what is shown up to date."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from nicegui import ui

from prophrl_cell.console import (
    episodes_panel,
    health_panel,
    jog_panel,
    policy_panel,
    safety_bar,
    session_panel,
)
from prophrl_cell.console.cell_link import CellLink
from prophrl_cell.console.episode_shelf import EpisodeShelf
from prophrl_cell.console.jog import JogLimits
from prophrl_cell.console.panel import Desk, panel

REFRESH_S = 0.2
CAMERA_SILENCE_S = 3.0


@dataclasses.dataclass(frozen=True)
class PageConfig:
    """What stands still while the console runs."""

    cell: str
    task: str
    instruction: str
    cameras: tuple[str, ...]
    bundles_dir: Path  # bundles of this task
    limits: JogLimits


class ConsolePage:
    """Builds one page per browser."""

    def __init__(self, config: PageConfig, link: CellLink, shelf: EpisodeShelf):
        self._config, self._link, self._shelf = config, link, shelf

    def build(self) -> None:
        """Draw the page for one browser."""
        config, desk = self._config, Desk(self._link)
        ui.add_head_html('<link rel="stylesheet" href="/static/console.css">')
        ui.add_body_html('<script src="/static/console.js" defer></script>')
        ui.add_body_html(episodes_panel.player_html(config.cameras))
        refreshers = [safety_bar.build(desk)]
        with ui.element("main").classes("grid"):
            with ui.element("div").classes("column-stack"):
                refreshers.append(_cameras(desk, config.cameras))
                episodes_panel.build(self._shelf)
            with ui.element("div").classes("column-stack"):
                refreshers.append(session_panel.build(desk, config.task, config.instruction))
                refreshers.append(jog_panel.build(desk, config.limits))
            with ui.element("div").classes("column-stack third"):
                refreshers.append(policy_panel.build(desk, config.bundles_dir))
                refreshers.append(health_panel.build_envelope(desk))
                refreshers.append(health_panel.build_recorder(desk))

        def refresh() -> None:
            for bring_up_to_date in refreshers:
                bring_up_to_date()

        ui.timer(REFRESH_S, refresh)


def _cameras(desk: Desk, names: tuple[str, ...]) -> Callable[[], None]:
    captions: dict[str, ui.label] = {}
    with panel("Cameras"), ui.element("div").classes("cameras many" if len(names) > 1 else "cameras"):
        for name in names:
            with ui.element("div").classes("camera"):
                ui.element("img").props(f'data-camera="{name}" alt="camera {name}"')
                captions[name] = ui.label(name).classes("caption num").props(f'data-see="camera-{name}"')

    def refresh() -> None:
        for name, label in captions.items():
            label.set_text(f"{name}: {_camera_line(desk, name)}")

    return refresh


def _camera_line(desk: Desk, name: str) -> str:
    camera = desk.link.state.cameras.get(name)
    if camera is None:
        return "nothing heard yet"
    if time.monotonic() - camera.heard_s > CAMERA_SILENCE_S:
        return "its node is silent"
    if not camera.streaming:
        return camera.reason or "not streaming"
    return (
        f"{camera.rate:.0f} Hz, {1000 * camera.latency:.0f} ms, {camera.dropped} dropped, {camera.restarts} restarts"
    )
