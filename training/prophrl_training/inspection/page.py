"""The inspection as one page."""

import html
from pathlib import Path

from prophrl_training.html_page import Page
from prophrl_training.inspection import media, plots
from prophrl_training.inspection.findings import Inspected
from prophrl_training.inspection.source import Source
from prophrl_training.inspection.summary import refusals, row


def write_page(path: Path, source: Source, found: list[Inspected], unreadable: dict[str, str], shown: int) -> None:
    """Write the page; ``shown`` episodes get a section of their own, those with findings first."""
    e = html.escape
    refused = refusals(found, unreadable)
    page = Page(f"{source.title}: {source.kind}")
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
        page.add("<h2>Episodes</h2>")
        page.table([row(item) for item in found])
        for item in sorted(found, key=lambda i: -(2 * len(i.faults) + len(i.remarks)))[:shown]:
            _section(page, item)
    page.write(path)


def _section(page: Page, item: Inspected) -> None:
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
