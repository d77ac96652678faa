"""Measured figures as every ``bench`` and ``eval`` writes them with ``--json FILE``."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

BOOTSTRAP_DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured number; ``low`` and ``high`` bound an interval, ``against`` is a rival in the same run."""

    name: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    seed: int | None = None
    against: dict | None = None  # {"name": str, "value": float}


def report(figures: list[Figure], path: str | os.PathLike | None = None) -> None:
    """Print one line a figure, with its interval and rival; write them too when ``path`` is given."""
    width = max((len(figure.name) for figure in figures), default=0)
    for figure in figures:
        span = "" if figure.low is None else f", {figure.low:.5g} to {figure.high:.5g}"
        rival = f"   ({figure.against['name']}: {figure.against['value']:.5g})" if figure.against else ""
        print(f"{figure.name:<{width}}  {figure.value:.5g} {figure.unit}, n = {figure.n}{span}{rival}", flush=True)
    if path:
        write_figures(path, figures)


def write_figures(path: str | os.PathLike, figures: list[Figure]) -> None:
    """Write ``{"figures": [...]}`` atomically, creating the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"figures": [dataclasses.asdict(f) for f in figures]}, indent=1) + "\n")
    partial.replace(path)


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a success rate; (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: Sequence[float], seed: int) -> tuple[float, float] | tuple[None, None]:
    """95 % percentile bootstrap interval of the mean of independent values; None, None of fewer than two."""
    values_N = np.asarray(values, dtype=float)
    if len(values_N) < 2:
        return None, None
    chosen = np.random.default_rng(seed).integers(len(values_N), size=(BOOTSTRAP_DRAWS, len(values_N)))
    low, high = np.percentile(values_N[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def success_figure(name: str, successes: int, n: int, seed: int | None) -> Figure:
    """A success rate with its 95 % Wilson interval."""
    low, high = wilson(successes, n)
    return Figure(name, successes / n if n else 0.0, "fraction", n, low, high, seed)
