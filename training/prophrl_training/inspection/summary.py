"""The inspection in rows, lines and figures."""

from collections import Counter

import numpy as np
from prophrl_core.figures import Figure

from prophrl_training.inspection.findings import Inspected


def row(item: Inspected) -> dict[str, str]:
    """One line of the table, as text."""
    recording = item.recording
    gaps = [
        s.largest_gap / s.period
        for s in recording.streams
        if s.period and s.name.endswith(("tcp_pose", "timestamp", "rows"))
    ]
    shares = sorted(recording.control.items(), key=lambda entry: -entry[1])
    return {
        "episode": recording.name,
        "outcome": recording.outcome,
        "duration [s]": f"{recording.duration:.1f}",
        "steps": str(sum(len(m.actions) for m in recording.motions)),
        "rate [Hz]": f"{recording.rate_hz:.1f}",
        "frames": " ".join(f"{film.camera} {len(film.t)} ({_rate(film.t):.0f}/s)" for film in item.films) or "-",
        "longest gap": f"{max(gaps):.1f} periods" if gaps else "-",
        "lost": str(recording.lost),
        "clock skew [ms]": "-" if np.isnan(item.clock_skew) else f"{1e3 * item.clock_skew:.1f}",
        "path [m]": f"{item.path:.2f}",
        "mismatch [mm] at lag [ms]": " ".join(f"{1e3 * m.rms:.1f} at {1e3 * m.lag:.0f}" for m in item.mismatches),
        "control": " ".join(f"{name} {100 * share:.0f} %" for name, share in shares) or "-",
        "findings": str(len(item.faults) + len(item.remarks)),
    }


def _rate(t: np.ndarray) -> float:
    return (len(t) - 1) / (t[-1] - t[0]) if len(t) > 1 and t[-1] > t[0] else 0.0


def text_table(rows: list[dict[str, str]]) -> str:
    """Aligned plain text."""
    names = list(rows[0])
    widths = [max(len(n), *(len(r[n]) for r in rows)) for n in names]
    lines = [[n.ljust(w) for n, w in zip(names, widths, strict=True)], ["-" * w for w in widths]]
    lines += [[r[n].ljust(w) for n, w in zip(names, widths, strict=True)] for r in rows]
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def refusals(found: list[Inspected], unreadable: dict[str, str]) -> dict[str, list[str]]:
    """Names of the refused recordings and why."""
    return {name: [why] for name, why in unreadable.items()} | {
        item.recording.name: list(item.faults) for item in found if item.faults
    }


def figures(found: list[Inspected], unreadable: dict[str, str]) -> list[Figure]:
    """Counts, medians and extremes over the set."""
    n = len(found) + len(unreadable)
    outcomes = Counter(item.recording.outcome for item in found)
    made = [
        Figure("data.episodes", n, "episodes", n),
        Figure("data.refused", len(refusals(found, unreadable)), "episodes", n),
        Figure("data.remarked", sum(bool(item.remarks) for item in found), "episodes", n),
        Figure("data.lost", sum(item.recording.lost for item in found), "messages", n),
        *(Figure(f"data.outcome.{name}", count, "episodes", n) for name, count in sorted(outcomes.items())),
    ]
    spread = {
        "data.duration": ("s", [i.recording.duration for i in found]),
        "data.path": ("m", [i.path for i in found]),
        "data.largest_action": ("m", [i.largest_action for i in found]),
        "data.mismatch.rms": ("mm", [1e3 * m.rms for i in found for m in i.mismatches]),
        "data.mismatch.lag": ("ms", [1e3 * m.lag for i in found for m in i.mismatches]),
        "data.clock_skew": ("ms", [1e3 * i.clock_skew for i in found]),
    }
    for name, (unit, values) in spread.items():
        known = [v for v in values if np.isfinite(v)]
        if known:
            made.append(
                Figure(f"{name}.p50", float(np.median(known)), unit, len(known), float(min(known)), float(max(known)))
            )
    return made
