"""The inspection as one HTML file that needs nothing beside it."""

import base64
import html
from pathlib import Path

from prophrl_training.inspection import media, plots
from prophrl_training.inspection.findings import Inspected
from prophrl_training.inspection.source import Source
from prophrl_training.inspection.summary import refusals, row

LARGEST = 18 << 20  # bytes of the page
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:82rem;padding:0 1rem;color:#1c2430}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:.25rem .5rem;border-bottom:1px solid #dde2ea;text-align:left}
th{background:#f3f5f9}.success{color:#0a7d33;font-weight:600}.failure{color:#b3541e;font-weight:600}
.fault,.aborted,.bad{color:#b00020}.odd{color:#8a5a00}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{color:#5b6675}dd{margin:0}img{max-width:100%}section{border-top:1px solid #dde2ea;margin-top:1.2rem}
.pair{display:flex;gap:1rem;align-items:flex-start;flex-wrap:wrap}video{border-radius:6px;background:#eee}
"""


class _Page:
    """Collects parts and knows how much room is left."""

    def __init__(self, title: str):
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        self.parts = [head + f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"]
        self.size = 0

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text.encode())

    def media(self, kind: str, content: bytes, alt: str) -> None:
        """A picture or clip, left out when the page would become too large."""
        if self.size + 4 * len(content) // 3 > LARGEST:
            return
        data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if kind.startswith("video"):
            self.add(f'<video controls muted loop src="{data}"></video>')
        else:
            self.add(f'<img alt="{html.escape(alt)}" src="{data}">')


def write_page(path: Path, source: Source, found: list[Inspected], unreadable: dict[str, str], shown: int) -> None:
    """Write the page; ``shown`` episodes get a section of their own, those with findings first."""
    e = html.escape
    refused = refusals(found, unreadable)
    page = _Page(f"{source.title}: {source.kind}")
    page.add(f"<p><b>{len(found) + len(unreadable)}</b> episodes, <b class=bad>{len(refused)} refused</b>.</p><dl>")
    page.add("".join(f"<dt>{e(name)}</dt><dd>{e(text)}</dd>" for name, text in source.facts.items()) + "</dl>")
    if refused:
        lines = (f"<li><b>{e(name)}</b>: {e('; '.join(why))}</li>" for name, why in refused.items())
        page.add(f"<h2>Refused</h2><ul class=bad>{''.join(lines)}</ul>")
    odd = [item for item in found if item.remarks]
    if odd:
        lines = (f"<li><b>{e(item.recording.name)}</b>: {e('; '.join(item.remarks))}</li>" for item in odd)
        page.add(f"<h2>What sticks out</h2><ul class=odd>{''.join(lines)}</ul>")
    if found:
        page.add("<h2>Trajectories</h2>")
        page.media("image/png", plots.trajectories(found), "measured TCP paths from above and from the side")
        page.add("<h2>Actions and states</h2>")
        page.media("image/png", plots.action_histograms(found), "histograms of the executed actions")
        page.media("image/png", plots.state_histograms(found), "histograms of the measured states")
        page.add("<h2>Episodes</h2>" + _table([row(item) for item in found]))
        for item in sorted(found, key=lambda i: -(2 * len(i.faults) + len(i.remarks)))[:shown]:
            _section(page, item)
    page.add("</html>")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("\n".join(page.parts), encoding="utf-8")
    partial.replace(path)


def _table(rows: list[dict[str, str]]) -> str:
    e = html.escape
    head = "".join(f"<th>{e(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f'<td class="{e(v) if n == "outcome" else ""}">{e(v)}</td>' for n, v in r.items()) + "</tr>"
        for r in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _section(page: _Page, item: Inspected) -> None:
    e, recording = html.escape, item.recording
    page.add(
        f'<section><h3>{e(recording.name)} <span class="{e(recording.outcome)}">{e(recording.outcome)}</span></h3>'
    )
    page.add(f"<p>{e(recording.task)}</p>")
    page.add("".join(f"<p class=bad>{e(fault)}</p>" for fault in item.faults))
    page.add("".join(f"<p class=odd>{e(remark)}</p>" for remark in item.remarks))
    page.add("".join(f"<p>{e(motion.arm)}: {e(note)}</p>" for motion in recording.motions for note in motion.notes))
    for film in item.films:
        if film.shown:
            page.media("image/jpeg", media.contact_sheet(film), f"{film.camera}, from start to end")
    page.add("<div class=pair>")
    page.media("image/png", plots.motion(recording.motions), "integrated actions over the measured TCP")
    for film in item.films:
        if len(film.shown) > 1:
            page.media("video/mp4", media.clip(film), film.camera)
    page.add("</div></section>")
