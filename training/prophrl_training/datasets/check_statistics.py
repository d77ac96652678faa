"""Statistics measured again from a dataset's rows and pictures, and how far the stored ones are off."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
from prophrl_core.episode import write_synced

from prophrl_training.datasets import layout
from prophrl_training.datasets.parts import measured_stats
from prophrl_training.datasets.reader import Dataset
from prophrl_training.datasets.statistics import listed
from prophrl_training.datasets.stored_statistics import aggregate, spreads_over

NUMBER_TOLERANCE = 1e-3  # of the feature's deviation
PICTURE_TOLERANCE = 0.02  # of full scale: stored ones are of pictures before they were compressed
COMPARED = ("mean", "std", "min", "max")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One feature: the largest difference per statistic, in the feature's unit; ``good`` within the tolerance."""

    feature: str
    differences: dict[str, float]
    good: bool
    missing: str = ""


def measure(dataset: Dataset, progress: Callable[[int, int], None]) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of the whole dataset."""
    parts = []
    for position in range(len(dataset.episodes)):
        parts.append(measured_stats(dataset, position))
        progress(position + 1, len(dataset.episodes))
    return aggregate(parts, str(dataset.folder))


def compare(dataset: Dataset, stored: dict, measured: dict) -> list[Comparison]:
    """Every measured feature against what is stored."""
    return [_compare_one(dataset, name, stored.get(name), entry) for name, entry in measured.items()]


def _compare_one(dataset: Dataset, name: str, stored: dict | None, measured: dict) -> Comparison:
    if stored is None:
        needed = dataset.features[name].is_float
        return Comparison(name, {}, not needed, "not stored")
    feature, differences = dataset.features[name], {}
    spread = np.maximum(measured["std"], 1e-6 + 1e-6 * np.abs(measured["mean"]))
    good = True
    for statistic in COMPARED:
        found, wanted = np.asarray(stored.get(statistic, np.nan), float), measured[statistic]
        if not spreads_over(found, wanted.shape) or not np.isfinite(found).all():
            return Comparison(name, differences, False, f"{statistic} missing or not finite")
        off = np.abs(found - wanted)
        differences[statistic] = float(off.max())
        if feature.is_image:  # extremes are single pixels, which compression moves
            good &= statistic in ("min", "max") or bool((off <= PICTURE_TOLERANCE).all())
        else:
            good &= bool((off <= NUMBER_TOLERANCE * spread).all())
    return Comparison(name, differences, good)


def write_stats(dataset: Dataset, measured: dict[str, dict[str, np.ndarray]]) -> None:
    """Replace ``meta/stats.json``."""
    write_synced(dataset.folder / layout.STATS, json.dumps(listed(measured), indent=4, allow_nan=False) + "\n")
