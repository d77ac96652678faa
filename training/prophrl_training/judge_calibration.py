"""From logits to a verdict: a temperature and a threshold out of clips that trained nothing, and how it fared.

What matters in reinforcement is the recall of true successes (method.md section 6), so the threshold is the highest
that keeps it.
"""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, wilson

from prophrl_training.classifier_files import Calibration
from prophrl_training.judge import probability

RECALL = 0.95
_COLDEST, _HOTTEST = 1e-2, 1e2  # inverse temperatures


class Scored(NamedTuple):
    """Clips of one kind: their largest logits, and whether they succeeded."""

    logits_N: np.ndarray
    success_N: np.ndarray

    def verdicts(self, calibration: Calibration) -> np.ndarray:
        """(N,) bool."""
        return probability(self.logits_N, calibration.temperature) >= calibration.threshold


def calibrate(logits_N: np.ndarray, success_N: np.ndarray, recall: float = RECALL) -> Calibration:
    """Temperature and threshold such that at least ``recall`` of *new* successes is expected to pass.

    The temperature minimises the log loss against Platt's softened targets (Platt 1999), so that perfectly separated
    clips do not make it certain of itself. Of P successes the floor((1 - recall) (P + 1)) - 1 lowest may fail, which is
    what makes the recall hold for a new one (split conformal prediction); the threshold lies midway between the lowest
    that passes and the next score below. UserError unless both outcomes are there.
    """
    logits_N, success_N = np.asarray(logits_N, float), np.asarray(success_N, bool)
    won = np.sort(logits_N[success_N])
    if logits_N.shape != success_N.shape or not np.isfinite(logits_N).all():
        raise UserError(f"calibration: expected finite logits and outcomes alike, got {logits_N.shape}")
    if not 0 < len(won) < len(logits_N):
        raise UserError(
            f"calibration: expected held-out clips of both outcomes, got {len(won)} successes in {len(logits_N)}; "
            "record more episodes"
        )
    temperature = _temperature(logits_N, success_N)
    may_fail = max(0, int((1 - recall) * (len(won) + 1) + 1e-9) - 1)
    lowest = won[may_fail]
    below = logits_N[logits_N < lowest]
    threshold = float(probability(np.array(lowest), temperature))
    if len(below):
        threshold = 0.5 * (threshold + float(probability(below.max(), temperature)))
    return Calibration(temperature, threshold)


def _temperature(logits_N: np.ndarray, success_N: np.ndarray) -> float:
    """Where the derivative of the log loss by the inverse temperature is 0, by bisection: the loss is convex in it."""
    won, lost = success_N.sum(), (~success_N).sum()
    targets_N = np.where(success_N, (won + 1) / (won + 2), 1 / (lost + 2))
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(60):
        middle = 0.5 * (low + high)
        slope = np.sum((probability(logits_N, np.exp(-middle)) - targets_N) * logits_N)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp(-0.5 * (low + high)))


class ReliabilityBin(NamedTuple):
    """Clips whose probability lies in one bin: how many, their mean probability and share of successes, interval."""

    n: int
    predicted: float
    observed: float
    low: float
    high: float


def reliability(probability_N: np.ndarray, success_N: np.ndarray, bins: int = 10) -> list[ReliabilityBin]:
    """The bins of equal width that hold clips, in order."""
    place_N = np.minimum((np.asarray(probability_N) * bins).astype(int), bins - 1)
    out = []
    for b in np.unique(place_N):
        own = place_N == b
        won, n = int(success_N[own].sum()), int(own.sum())
        out.append(ReliabilityBin(n, float(probability_N[own].mean()), won / n, *wilson(won, n)))
    return out


def write_report(
    folder: Path, title: str, facts: dict[str, str], figures: list[Figure], scored: dict[str, Scored],
    calibration: Calibration,
) -> None:  # fmt: skip
    """``report.png`` (reliability and scores of each kind of clip) and ``report.html``, which holds it, too."""
    png = _picture(scored, calibration)
    e = html.escape
    rows = "".join(
        f"<tr><td>{e(f.name)}<td>{f.value:.3f}<td>{'' if f.low is None else f'{f.low:.3f} to {f.high:.3f}'}<td>{f.n}"
        for f in figures
    )
    facts = facts | {"temperature": f"{calibration.temperature:.3f}", "threshold": f"{calibration.threshold:.3f}"}
    listed = "".join(f"<dt>{e(name)}</dt><dd>{e(text)}</dd>" for name, text in facts.items())
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{e(title)}</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
        "td,th{padding:.25rem .6rem;border-bottom:1px solid #dde2ea;text-align:left}img{max-width:100%}"
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dd{margin:0}</style>"
        f"<h1>{e(title)}</h1><dl>{listed}</dl><p>On held-out clips that neither trained nor calibrated it.</p>"
        f"<table><tr><th>figure<th>value<th>95 % interval<th>n</tr>{rows}</table>"
        f'<p><img alt="reliability and scores" src="data:image/png;base64,{base64.b64encode(png).decode()}"></html>\n'
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("report.png", png), ("report.html", page.encode())):
        partial = folder / (name + ".partial")
        partial.write_bytes(content)
        partial.replace(folder / name)


def _picture(scored: dict[str, Scored], calibration: Calibration) -> bytes:
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(9, 3.6), layout="constrained")
    curve, scores = picture.subplots(1, 2)
    curve.plot([0, 1], [0, 1], color="0.8", zorder=0)
    edges = np.linspace(0, 1, 21)
    for number, (kind, (logits_N, success_N)) in enumerate(scored.items()):
        probability_N = probability(logits_N, calibration.temperature)
        bins = reliability(probability_N, success_N)
        spans = [[b.observed - b.low for b in bins], [b.high - b.observed for b in bins]]
        at = [b.predicted for b in bins]
        curve.errorbar(at, [b.observed for b in bins], np.maximum(spans, 0), fmt="o-", ms=4, label=kind)
        for won, line in ((True, "-"), (False, ":")):
            counts = np.histogram(probability_N[success_N == won], edges)[0]
            label = f"{kind}, {'success' if won else 'failure'}"
            scores.stairs(counts, edges, linestyle=line, color=f"C{number}", label=label)
    scores.axvline(calibration.threshold, color="0.5", lw=1)
    curve.set(xlabel="calibrated probability", ylabel="share of successes", title="reliability")
    scores.set(xlabel="calibrated probability", ylabel="clips", title="scores, and the threshold")
    for axes in (curve, scores):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=100, metadata={"Software": ""})
    return buffer.getvalue()
