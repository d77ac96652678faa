"""What an evaluation of Prophets says in numbers: means with intervals, drift, rows of tables, figures, a CSV.

A mean is over time first, then over episodes; its interval is a bootstrap over episodes. Values that are not numbers
(the cosine where nothing moves) do not count.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prophrl_core.figures import Figure, mean_interval

from prophrl_training.prophet_evaluation import EpisodeScore, Evaluation

METRICS = {"psnr": "dB", "ssim": "of 1", "epe": "px", "cos": "of 1"}
COPY, CEILING, OURS = "last-frame copy", "autoencoder", "prophet"
OUTCOMES = ("success", "failure")
_SENSITIVITY = (  # name, unit, value, rival's name, rival's value
    ("shuffled_epe", "px", "shuffled_epe", "own actions", "own_epe"),
    ("shuffled_difference", "grey levels", "shuffled_difference", "another seed", "seed_difference"),
    ("frozen_flow", "px a frame", "frozen_flow", "own actions", "own_flow"),
)


class Mean(NamedTuple):
    """A mean of ``n`` episodes and its 95 % interval; NaN of none, no interval of one."""

    value: float
    n: int
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if not self.n:
            return "-"
        return f"{self.value:.4g}" + ("" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})")


def mean(values: Sequence[float], seed: int) -> Mean:
    """The mean over episodes, of those that have a number."""
    known = [v for v in values if np.isfinite(v)]
    return Mean(float(np.mean(known)) if known else float("nan"), len(known), *mean_interval(known, seed))


def over_time(values_P: np.ndarray) -> float:
    """Mean over an episode's frames that have a number; NaN when none has."""
    known = values_P[np.isfinite(values_P)]
    return float(known.mean()) if len(known) else float("nan")


def means(scores: Sequence[EpisodeScore], metric: str, seed: int) -> Mean:
    """Over time and episodes."""
    return mean([over_time(s.values[metric]) for s in scores], seed)


def at_horizon(scores: Sequence[EpisodeScore], metric: str, seed: int) -> Mean:
    """Of each episode's last imagined frame."""
    return mean([float(s.values[metric][-1]) for s in scores], seed)


def drift(scores: Sequence[EpisodeScore], metric: str, chunk_steps: int, seed: int) -> list[Mean]:
    """For chunk after chunk its mean over the episodes that are as long."""
    chunks = max(len(s.values[metric]) for s in scores) // chunk_steps
    slices = [slice(c * chunk_steps, (c + 1) * chunk_steps) for c in range(chunks)]
    reached = [[s.values[metric][part] for s in scores if len(s.values[metric]) >= part.stop] for part in slices]
    return [mean([over_time(values) for values in parts], seed) for parts in reached]


def by_frame(scores: Sequence[EpisodeScore], metric: str) -> np.ndarray:
    """For every number of frames ahead the mean over the episodes that are as long, (P,) of the longest."""
    longest = max(len(s.values[metric]) for s in scores)
    columns = [[s.values[metric][p] for s in scores if len(s.values[metric]) > p] for p in range(longest)]
    return np.array([over_time(np.array(column)) for column in columns])


def score_rows(table: dict[str, list[EpisodeScore]], seed: int) -> list[dict[str, str]]:
    """Rows of the main table: everything that was compared, over all episodes and by outcome."""
    rows = []
    for kind in ("all", *OUTCOMES):
        for what, scores in table.items():
            chosen = [s for s in scores if kind in ("all", s.outcome)]
            if chosen and (kind == "all" or len(chosen) < len(scores)):
                row = {"what": what, "outcome": kind, "episodes": str(len(chosen))}
                row |= {f"{m} [{unit}]": str(means(chosen, m, seed)) for m, unit in METRICS.items()}
                rows.append(row | {f"{m} at the end": str(at_horizon(chosen, m, seed)) for m in METRICS})
    return rows


def _column(evaluation: Evaluation, field: str, seed: int) -> Mean:
    return mean([getattr(s, field) for s in evaluation.sensitivity], seed)


def sensitivity_rows(evaluations: dict[str, Evaluation], seed: int) -> list[dict[str, str]]:
    """Rows of the table that says whether each Prophet listens to its actions."""
    names = {
        "EPE, others' actions [px]": "shuffled_epe", "EPE, own actions [px]": "own_epe",
        "change by others' actions [grey levels]": "shuffled_difference",
        "change by another seed [grey levels]": "seed_difference",
        "flow, standing still [px a frame]": "frozen_flow", "flow, own actions [px a frame]": "own_flow",
    }  # fmt: skip
    return [
        {"what": what} | {title: str(_column(evaluation, field, seed)) for title, field in names.items()}
        for what, evaluation in evaluations.items()
    ]


def figures(
    evaluations: dict[str, Evaluation],
    copied: list[EpisodeScore],
    ceiling: list[EpisodeScore],
    chunk_steps: int,
    seed: int,
) -> list[Figure]:
    """The figures of OURS, all against the last-frame copy, then those of its rivals against ours."""
    ours, made = evaluations[OURS].scores, []

    def add(name: str, unit: str, found: Mean, rival: str, value: float) -> None:
        if found.n:
            against = {"name": rival, "value": value} if np.isfinite(value) else None
            made.append(Figure(name, found.value, unit, found.n, found.low, found.high, seed, against))

    def against_copy(suffix: str, of: Callable[[list[EpisodeScore], str, int], Mean], chosen=lambda s: True) -> None:
        for metric, unit in METRICS.items():
            mine, theirs = ([s for s in scores if chosen(s)] for scores in (ours, copied))
            add(f"prophet.{metric}{suffix}", unit, of(mine, metric, seed), COPY, of(theirs, metric, seed).value)

    against_copy("", means)
    against_copy(".horizon", at_horizon)
    for outcome in OUTCOMES:
        against_copy(f".{outcome}", means, lambda s, outcome=outcome: s.outcome == outcome)
    for metric, unit in METRICS.items():
        pairs = zip(drift(ours, metric, chunk_steps, seed), drift(copied, metric, chunk_steps, seed), strict=True)
        for c, (mine, theirs) in enumerate(pairs, 1):
            add(f"prophet.{metric}.chunk_{c}", unit, mine, COPY, theirs.value)
    for metric, unit in METRICS.items():
        add(f"prophet.{metric}.ceiling", unit, means(ceiling, metric, seed), OURS, means(ours, metric, seed).value)
    for name, unit, field, rival, rival_field in _SENSITIVITY:
        found = _column(evaluations[OURS], field, seed)
        add(f"prophet.sensitivity.{name}", unit, found, rival, _column(evaluations[OURS], rival_field, seed).value)
    for what, evaluation in evaluations.items():
        if what == OURS:
            continue
        for metric, unit in METRICS.items():
            theirs = means(evaluation.scores, metric, seed)
            add(f"prophet.against.{what}.{metric}", unit, theirs, OURS, means(ours, metric, seed).value)
            paired = zip(ours, evaluation.scores, strict=True)
            ours_less_theirs = [over_time(a.values[metric]) - over_time(b.values[metric]) for a, b in paired]
            add(f"prophet.against.{what}.{metric}.difference", unit, mean(ours_less_theirs, seed), "equal", 0.0)
    return made


def write_frames(path: Path, table: dict[str, list[EpisodeScore]]) -> None:
    """A CSV with a row for every imagined frame of every episode; empty where there is no number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["what", "episode", "outcome", "frame", *METRICS])
        for what, scores in table.items():
            for score in scores:
                for p, values in enumerate(zip(*(score.values[m] for m in METRICS), strict=True), 1):
                    numbers = (f"{v:.5g}" if np.isfinite(v) else "" for v in values)
                    rows.writerow([what, score.name, score.outcome, p, *numbers])
    partial.replace(path)
