"""The statistics a dataset carries: read, checked, and those of episodes summed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.metadata import read_columns

REQUIRED_STATISTICS = ("mean", "std", "min", "max")
EXTREMES = {"min": np.min, "max": np.max}


def read_stats(folder: Path, info: dict) -> dict[str, dict[str, np.ndarray]]:
    """Statistics by feature and name; v2.1, which has them per episode only, is summed up."""
    if (folder / layout.STATS).is_file():
        return _arrays(layout.read_json(folder, layout.STATS), f"{folder}: {layout.STATS}")
    if info["codebase_version"] == "v2.1" and (folder / layout.LEGACY_EPISODE_STATS).is_file():
        where = f"{folder}: {layout.LEGACY_EPISODE_STATS}"
        rows = layout.read_json_lines(folder, layout.LEGACY_EPISODE_STATS)
        return aggregate([_arrays(row.get("stats"), where) for row in rows], where)
    advice = f"try: prophrl data stats {folder} --write"
    raise UserError(f"{folder}: expected statistics in {layout.STATS}, found none; {advice}")


def check_stats(folder: Path, stats: dict[str, dict[str, np.ndarray]], features: dict[str, Feature]) -> None:
    """Refuse statistics that are missing, misshapen or not finite: of every real-valued feature, and any given."""
    advice = f"try: prophrl data stats {folder} --write"
    for feature in features.values():
        given = stats.get(feature.name)
        if given is None:
            if feature.is_float and not feature.is_image:
                raise UserError(f"{folder}: expected statistics of {feature.name}, found none; {advice}")
            continue
        for name in REQUIRED_STATISTICS:
            values = given.get(name)
            if values is None:
                raise UserError(f"{folder}: expected the {name} of {feature.name}, found none; {advice}")
            if not np.isfinite(values).all():
                raise UserError(f"{folder}: the {name} of {feature.name} is not finite; {advice}")
            if not feature.is_image and not spreads_over(values, feature.shape):
                has = f"the {name} of {feature.name} has shape {values.shape}"
                raise UserError(f"{folder}: {has}, expected {feature.shape}; {advice}")


def spreads_over(values: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether statistics fit rows of this shape: LeRobot takes those of matrices over all axes but the last."""
    try:
        return np.broadcast_shapes(values.shape, shape) == shape
    except ValueError:
        return False


def _arrays(raw: object, where: str) -> dict[str, dict[str, np.ndarray]]:
    try:
        return {
            key: {n: np.asarray(v, np.int64 if n == "count" else np.float64) for n, v in entry.items() if v is not None}
            for key, entry in raw.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{where}: expected numbers by feature and statistic, got something else") from None


def aggregate(parts: list[dict[str, dict[str, np.ndarray]]], where: str) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of all from statistics of each, weighted by count (quantiles: the weighted mean, as LeRobot does)."""
    out = {}
    try:
        for key in {key: None for part in parts for key in part}:
            found = [part[key] for part in parts if key in part]
            counts = np.array([float(np.ravel(part["count"])[0]) for part in found])
            if counts.sum() == 0:
                out[key] = found[0]
                continue
            found, counts = [f for f, n in zip(found, counts, strict=True) if n], counts[counts > 0]
            means, stds = (np.stack([part[name] for part in found]) for name in ("mean", "std"))
            weights = (counts / counts.sum()).reshape(-1, *[1] * (means.ndim - 1))
            mean = (weights * means).sum(0)
            variance = (weights * (stds**2 + (means - mean) ** 2)).sum(0)
            out[key] = {"mean": mean, "std": np.sqrt(variance), "count": np.array([int(counts.sum())])}
            out[key] |= {name: pick([part[name] for part in found], 0) for name, pick in EXTREMES.items()}
            for name in sorted(set.intersection(*(set(part) for part in found)) - set(out[key])):
                out[key][name] = (weights * np.stack([part[name] for part in found])).sum(0)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"{where}: expected mean, std, min, max and count of one shape per feature ({error})") from None
    return out


def read_episode_stats(folder: Path, info: dict) -> dict[int, dict[str, dict[str, np.ndarray]]]:
    """Statistics by episode index, as far as the dataset holds them per episode."""
    where = f"{folder}: statistics of episodes"
    out: dict[int, dict] = {}
    if info["codebase_version"] != "v3.0":
        if (folder / layout.LEGACY_EPISODE_STATS).is_file():
            rows = layout.read_json_lines(folder, layout.LEGACY_EPISODE_STATS)
            out = {row.get("episode_index"): _arrays(row.get("stats"), where) for row in rows}
        return out
    for file in sorted((folder / layout.EPISODES_FOLDER).glob("*/*.parquet")):
        relative = file.relative_to(folder).as_posix()
        columns = read_columns(folder, relative, lambda name: name == "episode_index" or name.startswith("stats/"))
        for row, index in enumerate(columns.pop("episode_index")):
            nested: dict[str, dict] = {}
            for name, values in columns.items():
                _, key, statistic = name.split("/", 2)
                nested.setdefault(key, {})[statistic] = values[row]
            out[index] = _arrays(nested, where)
    return {index: stats for index, stats in out.items() if stats}
