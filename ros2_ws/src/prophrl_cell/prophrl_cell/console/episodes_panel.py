"""The newest episodes: what came of them, a picture, a video."""

import html

from nicegui import run, ui

from prophrl_cell.console.episode_shelf import EpisodeShelf, ShelfRow
from prophrl_cell.console.panel import panel

LOOK_S = 2.0
LEVEL = {"success": "ok", "failure": "warn", "fault": "danger"}


def player_html(cameras: tuple[str, ...]) -> str:
    """The dialog that plays an episode, one video per camera."""
    names = map(html.escape, cameras)
    videos = "".join(f'<video data-camera="{name}" controls muted playsinline></video>' for name in names)
    head = (
        '<span id="player-title"></span><span id="player-status" class="faint"></span>'
        '<button class="play" id="player-close">Close</button>'
    )
    return f'<dialog id="player"><div class="top">{head}</div><div>{videos}</div></dialog>'


def build(shelf: EpisodeShelf) -> None:
    """Draw the panel, which looks at the disk now and again."""
    with panel("Episodes", "scroll"):
        table = ui.html("", sanitize=False).props('data-see="episodes"')

    async def look() -> None:
        table.set_content(episodes_html(await run.io_bound(shelf.rows)))

    ui.timer(LOOK_S, look)


def episodes_html(rows: list[ShelfRow]) -> str:
    """A table, newest first."""
    if not rows:
        return '<span class="faint">no episodes yet</span>'
    return f'<table class="plain episodes">{"".join(_row(row) for row in rows)}</table>'


def _row(row: ShelfRow) -> str:
    name = html.escape(row.episode_id)
    if row.problem:
        problem = html.escape(row.problem)
        return f'<tr><td></td><td class="wrap">{name}</td><td class="warn-text" colspan="3">{problem}</td></tr>'
    lost = f'<div class="warn-text">{row.lost} messages lost</div>' if row.lost else ""
    who = ", ".join(html.escape(text) for text in (row.operator, row.policy_version) if text)
    cells = (
        f'<td><img loading="lazy" src="/episodes/{name}/thumbnail.jpg" alt=""></td>',
        f'<td class="wrap">{name}<div class="faint">{who}</div>{lost}</td>',
        f'<td><span class="{LEVEL.get(row.outcome, "note")}-text">{html.escape(row.outcome)}</span>',
        f'<div class="faint wrap">{html.escape(row.reason)}</div></td>',
        f'<td class="r nowrap">{row.duration:.1f} s</td>',
        f'<td><button class="play" data-play="{name}">Play</button></td>',
    )
    return f'<tr data-episode="{name}">{"".join(cells)}</tr>'
