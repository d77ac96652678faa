"""One episode ready to take its place in a dataset: columns, pictures, statistics and facts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError

from prophrl_training.datasets import statistics
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.reader import Dataset
from prophrl_training.datasets.stored_statistics import read_episode_stats
from prophrl_training.datasets.video_writer import Segment

PLACED = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # the writer fills these
PART_NAME, ROWS_NAME = "part.json", "rows.npz"


@dataclasses.dataclass(frozen=True)
class EpisodePart:
    """``columns()`` gives every feature but pictures and ``PLACED`` ones, ``task_T`` indexes ``tasks`` row by row.

    ``data_file`` holds the rows already when the episode is a dataset's.
    """

    length: int
    tasks: tuple[str, ...]
    task_T: np.ndarray
    columns: Callable[[], dict[str, np.ndarray]]
    videos: dict[str, Segment]
    stats: dict[str, dict[str, np.ndarray]]
    facts: dict[str, object]
    data_file: Path | None = None


def write_part(
    folder: Path,
    columns: dict[str, np.ndarray],
    task: str,
    stats: dict[str, dict[str, np.ndarray]],
    facts: dict[str, object],
    features: dict[str, Feature],
) -> None:
    """Rows and facts of an episode into a folder that already holds its videos; ``PART_NAME`` comes last, whole."""
    np.savez(folder / ROWS_NAME, **columns)
    listed = {key: {name: values.tolist() for name, values in entry.items()} for key, entry in stats.items()}
    length = len(next(iter(columns.values())))
    part = {"task": task, "length": length, "stats": listed, "facts": facts}
    part["features"] = [dataclasses.asdict(feature) for feature in features.values()]
    partial = folder / f"{PART_NAME}.partial"
    partial.write_text(json.dumps(part))
    partial.replace(folder / PART_NAME)


def read_part(folder: Path) -> tuple[EpisodePart, dict[str, Feature]]:
    """What ``write_part`` and the encoder left in a folder, and the features it has."""
    part = json.loads((folder / PART_NAME).read_text())
    length = part["length"]
    stats = {key: {name: np.array(v) for name, v in entry.items()} for key, entry in part["stats"].items()}
    plain = [raw | {"shape": tuple(raw["shape"]), "names": tuple(raw["names"])} for raw in part["features"]]
    listed = [Feature(**raw) for raw in plain]
    episode = EpisodePart(
        length,
        (part["task"],),
        np.zeros(length, np.int64),
        lambda: dict(np.load(folder / ROWS_NAME, allow_pickle=False)),
        {f.name: Segment(folder / f"{f.name}.mp4", 0.0, length) for f in listed if f.dtype == "video"},
        stats,
        part["facts"],
    )
    return episode, {feature.name: feature for feature in listed}


def parts_of(dataset: Dataset, positions: list[int] | None = None) -> list[EpisodePart]:
    """The episodes of a dataset (or those at ``positions``) as parts; statistics that it lacks are measured."""
    known = read_episode_stats(dataset.folder, dataset.info)
    names = [f.name for f in dataset.features.values() if not f.is_image and f.name not in PLACED]
    if any(f.dtype == "image" for f in dataset.features.values()):
        raise UserError(f"{dataset.folder}: expected videos, its pictures are inside its tables; they cannot be joined")
    return [
        _part_of(dataset, position, names, known.get(dataset.episodes[position].index))
        for position in (range(len(dataset.episodes)) if positions is None else positions)
    ]


def _part_of(dataset: Dataset, position: int, names: list[str], stats: dict | None) -> EpisodePart:
    entry = dataset.episodes[position]
    indices_T = dataset.rows(position, ["task_index"])["task_index"]
    used = sorted(set(indices_T.tolist()))
    if used and not 0 <= used[0] <= used[-1] < len(dataset.tasks):
        raise UserError(f"{dataset.folder}: episode {entry.index}: expected tasks below {len(dataset.tasks)}: {used}")
    videos = {key: Segment(dataset.folder / file, begin, entry.length) for key, (file, begin) in entry.videos.items()}
    return EpisodePart(
        entry.length,
        tuple(dataset.tasks[i] for i in used),
        np.searchsorted(used, indices_T),
        lambda: dataset.rows(position, names),
        videos,
        stats or measured_stats(dataset, position),
        entry.facts,
        dataset.folder / entry.data_file,
    )


def measured_stats(dataset: Dataset, position: int) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of one episode from its rows and sampled pictures."""
    numeric = [f.name for f in dataset.features.values() if not f.is_image and f.dtype != "string"]
    stats = {name: statistics.of_column(values) for name, values in dataset.rows(position, numeric).items()}
    steps = statistics.sampled_steps(dataset.episodes[position].length)
    for key in dataset.image_keys:
        pictures = dataset.window(position, steps, [key])[key]
        stats[key] = statistics.of_pictures(np.stack([statistics.thinned(picture) for picture in pictures]))
    return stats


def same_features(a: dict[str, Feature], b: dict[str, Feature]) -> str:
    """Empty when rows of both fit together, else what differs; what image axes are called does not matter."""
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            return f"only one has {name}"
        if (a[name].dtype, a[name].shape) != (b[name].dtype, b[name].shape):
            return f"{name} is {a[name].dtype} {a[name].shape} in one, {b[name].dtype} {b[name].shape} in the other"
        if not a[name].is_image and a[name].names != b[name].names:
            return f"the values of {name} have other names"
    return ""
