"""Health: servo timing and envelope, the recorder and its streams; colour only where it matters."""

import html
import math
import time
from collections.abc import Callable

from nicegui import ui

from prophrl_cell.console import wording
from prophrl_cell.console.panel import Desk, pair, panel, say
from prophrl_cell.console.views import StreamView

LATE_PERIOD_FACTOR = 2.0


def build_envelope(desk: Desk) -> Callable[[], None]:
    """Servo timing and the last envelope events."""
    with panel("Safety envelope"):
        with ui.element("div").classes("pairs"):
            servo, counts = pair("servo period"), pair("since start")
        events = ui.html("", sanitize=False).props('data-see="envelope"').style("margin-top: 6px")

    def refresh() -> None:
        arm = desk.link.state.arm
        if arm is not None:
            late = arm.period_p50_ms > 0 and arm.period_p99_ms > LATE_PERIOD_FACTOR * arm.period_p50_ms
            say(servo, f"{arm.period_p50_ms:.2f} ms, 99 % under {arm.period_p99_ms:.2f} ms"
                + (", real-time" if arm.realtime else ""), "warn" if late else "ok")  # fmt: skip
            counts.set_text(
                f"{arm.envelope_events} clamps and refusals, {arm.missed_cycles} late cycles, {arm.restarts} restarts"
            )
        rows = "".join(_event_row(event) for event in reversed(desk.link.state.envelope))
        events.set_content(f'<table class="plain">{rows}</table>' if rows else '<span class="faint">no events</span>')

    return refresh


def _event_row(event) -> str:
    level = "danger" if event.action == "stopped" else "warn" if event.action == "refused" else "note"
    clock = time.strftime("%H:%M:%S", time.localtime(event.at_s))
    often = f" × {event.count}" if event.count > 1 else ""
    return (
        f'<tr><td class="faint nowrap">{clock}</td><td class="{level}-text nowrap">{html.escape(event.action)}</td>'
        f'<td>{html.escape(event.limit)}{often}<div class="faint">{html.escape(event.detail)}</div></td></tr>'
    )


def build_recorder(desk: Desk) -> Callable[[], None]:
    """Recorder, disk, and one row per recorded stream."""
    with panel("Recorder"):
        with ui.element("div").classes("pairs"):
            state, disk, streams = pair("state"), pair("disk free"), pair("streams")
        table = ui.html("", sanitize=False).props('data-see="stream-table"').classes("scroll streams")
    state.props('data-see="recorder-state"')
    disk.props('data-see="disk"')
    streams.props('data-see="streams"')

    def refresh() -> None:
        recorder = desk.link.state.recorder
        level, words = wording.recorder_level(recorder, time.monotonic())
        say(state, words, level)
        if recorder is None:
            return
        say(disk, wording.size(recorder.disk_free), wording.disk_level(recorder.disk_free))
        troubled = sum(bool(wording.stream_problems(stream)) for stream in recorder.streams)
        summary = f"{len(recorder.streams)}" + (f", {troubled} with trouble" if troubled else ", all well")
        say(streams, summary if recorder.streams else "none yet", "warn" if troubled else "ok")
        table.set_content(streams_html(recorder.streams) if recorder.streams else "")

    return refresh


def streams_html(streams: tuple[StreamView, ...]) -> str:
    """A table; a cell has a colour and a tooltip only when something is wrong with it."""
    head = "".join(f'<th class="{"r" if i else ""}">{name}</th>'
                   for i, name in enumerate(("stream", "count", "Hz", "gap s", "lost", "skew ms")))  # fmt: skip
    return f'<table class="plain"><tr>{head}</tr>{"".join(_stream_row(s) for s in streams)}</table>'


def _stream_row(stream: StreamView) -> str:
    problems = wording.stream_problems(stream)

    def cell(column: str, text: str) -> str:
        trouble = problems.get(column)
        mark = f' warn-text" title="{html.escape(trouble)}' if trouble else ""
        return f'<td class="r nowrap{mark}">{text}</td>'

    skew = f"{1000 * stream.skew:.0f}" if math.isfinite(stream.skew) else "–"
    return (
        f'<tr><td class="wrap">{html.escape(stream.topic.lstrip("/"))}</td>'
        + cell("messages", str(stream.messages)) + cell("rate", f"{stream.rate:.1f}")
        + cell("gap", f"{stream.max_gap:.2f}") + cell("lost", str(stream.lost)) + cell("skew", skew) + "</tr>"
    )  # fmt: skip
