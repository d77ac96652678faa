"""The session's page: one table, then a video and a plot per trial. Everything beside it is a local file."""

import html
from collections import Counter
from pathlib import Path

import numpy as np
from prophrl_core.figures import wilson

from prophrl_bringup.report.trial import Trial

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2430}
table{border-collapse:collapse;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid #dde2ea;text-align:left}
th{background:#f3f5f9}td.n{text-align:right;font-variant-numeric:tabular-nums}
.success{color:#0a7d33;font-weight:600}.failure{color:#b3541e;font-weight:600}.fault,.aborted{color:#b00020;font-weight:600}
section{display:grid;grid-template-columns:1fr 1fr;gap:1rem;margin:1.2rem 0}h3{grid-column:1/3;margin:.5rem 0 0}
video,img{width:100%;border-radius:6px;background:#eee}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{color:#5b6675}dd{margin:0}
"""


def trial_row(trial: Trial) -> dict[str, str]:
    """The columns of the table, as text."""
    latency = trial.chunk_latency_ms
    limits = Counter(trial.envelope_limits)
    return {
        "trial": str(trial.meta.trial + 1),
        "outcome": trial.meta.outcome,
        "duration [s]": f"{trial.meta.duration:.1f}",
        "chunks": str(len(latency)),
        "chunk latency p50 / max [ms]": f"{np.median(latency):.0f} / {latency.max():.0f}" if len(latency) else "-",
        "envelope events": ", ".join(f"{n} {name}" for name, n in limits.items()) or "0",
        "reason": trial.meta.reason,
    }


def text_table(rows: list[dict[str, str]]) -> str:
    """The rows as an aligned plain-text table."""
    names = list(rows[0])
    widths = [max(len(n), *(len(r[n]) for r in rows)) for n in names]
    lines = ["  ".join(n.ljust(w) for n, w in zip(names, widths)), "  ".join("-" * w for w in widths)]
    lines += ["  ".join(r[n].ljust(w) for n, w in zip(names, widths)) for r in rows]
    return "\n".join(line.rstrip() for line in lines)


def write_page(path: Path, title: str, facts: dict[str, str], trials: list[Trial], media: dict[str, dict[str, str]]):
    """Write the HTML page. ``media`` maps an episode id to relative paths of its "video" and "plot"."""
    n, k = len(trials), sum(t.meta.outcome == "success" for t in trials)
    low, high = wilson(k, n)
    rows = [trial_row(t) for t in trials]
    e = html.escape
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{e(title)}</title><style>{_STYLE}</style>",
        f"<h1>{e(title)}</h1><p><b>{k} of {n}</b> trials succeeded "
        f"({100 * k / max(n, 1):.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %).</p><dl>",
        *(f"<dt>{e(name)}</dt><dd>{e(value)}</dd>" for name, value in facts.items()),
        "</dl>",
    ]
    if rows:
        parts.append("<table><tr>" + "".join(f"<th>{e(c)}</th>" for c in rows[0]) + "</tr>")
        for row in rows:
            cells = (
                f'<td class="{e(v)}">{e(v)}</td>' if c == "outcome" else f"<td>{e(v)}</td>" for c, v in row.items()
            )
            parts.append("<tr>" + "".join(cells) + "</tr>")
        parts.append("</table>")
    for trial in trials:
        files = media[trial.meta.episode_id]
        parts.append(f"<section><h3>Trial {trial.meta.trial + 1}: {e(trial.meta.outcome)}</h3>")
        if "video" in files:
            parts.append(f'<video controls muted preload="metadata" src="{e(files["video"])}"></video>')
        parts.append(f'<img alt="commanded and measured motion" src="{e(files["plot"])}"></section>')
    parts.append(
        "<p>Grey lines: chunks arriving. Red lines: envelope events. Measured motion lags the command by the "
        "controller's look-ahead.</p></html>"
    )
    path.write_text("\n".join(parts))
