"""Writes a LeRobot v3.0 dataset from episode parts into a new folder: a pure function of the parts in their order.

Source of the layout: lerobot 0.4.4, ``LeRobotDataset.save_episode`` and what it calls. Files of the dataset being
extended that stay as they are get linked, not written again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout, stored_statistics, video_writer
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.metadata_writer import (
    DatasetSpec,
    PlacedEpisode,
    describe,
    write_episodes,
    write_json,
    write_tasks,
)  # fmt: skip
from prophrl_training.datasets.parts import EpisodePart
from prophrl_training.datasets.reader import Dataset
from prophrl_training.datasets.statistics import listed, of_column


def write_dataset(
    folder: Path,
    spec: DatasetSpec,
    parts: list[EpisodePart],
    splits: dict[str, str] | None = None,
    extended: Dataset | None = None,
) -> None:
    """Write the whole dataset into ``folder``, which must not hold one.

    ``extended`` is the dataset whose episodes ``parts`` begins with, in its order.
    """
    if not parts:
        raise UserError(f"{folder}: expected at least one episode to write, got none")
    folder.mkdir(parents=True, exist_ok=True)
    known = extended.tasks if extended is not None else ()
    tasks = list(dict.fromkeys([*known, *(task for part in parts for task in part.tasks)]))
    starts = np.cumsum([0, *(part.length for part in parts)])
    rows = [PlacedEpisode(index, int(starts[index]), part) for index, part in enumerate(parts)]
    old = extended.folder if extended is not None else None
    _write_data(folder, spec, rows, tasks, old)
    for key in spec.video_keys:
        _write_videos(folder, spec, rows, key, old)
    stats = [row.part.stats | _placed_stats(row, tasks, spec) for row in rows]
    write_episodes(folder, spec, rows, stats)
    write_tasks(folder, tasks)
    total = stored_statistics.aggregate(stats, str(folder))
    write_json(folder / layout.STATS, listed(total))
    write_json(folder / layout.INFO, describe(folder, spec, rows, tasks, splits or {"train": f"0:{len(parts)}"}))


def _row_bytes(feature: Feature) -> int:
    if feature.is_image:
        return 0
    return 64 if feature.dtype == "string" else int(np.prod(feature.shape)) * np.dtype(feature.dtype).itemsize


def _write_data(folder: Path, spec: DatasetSpec, rows: list[PlacedEpisode], tasks: list[str], old: Path | None) -> None:
    per_row = sum(_row_bytes(f) for f in spec.all_features.values())
    place, size, group = (0, 0), 0, []
    for row in rows:
        grown = row.part.length * per_row
        if group and size + grown >= spec.data_mb << 20:
            _write_data_file(folder, spec, group, tasks, old)
            place, size, group = layout.next_file(*place), 0, []
        row.data, size = place, size + grown
        group.append(row)
    _write_data_file(folder, spec, group, tasks, old)


def _write_data_file(
    folder: Path, spec: DatasetSpec, group: list[PlacedEpisode], tasks: list[str], old: Path | None
) -> None:
    relative = layout.DATA.format(chunk_index=group[0].data[0], file_index=group[0].data[1])
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    from_one_file = old is not None and all(row.part.data_file == old / relative for row in group)
    if from_one_file and pq.read_metadata(old / relative).num_rows == sum(row.part.length for row in group):
        os.link(old / relative, path)
        return
    stored = [f for f in spec.all_features.values() if not f.is_image]
    schema = pa.schema([(f.name, _arrow_type(f)) for f in stored])
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=True) as writer:
        for row in group:
            columns = row.part.columns() | _placed(row, tasks, spec)
            arrays = [_arrow_array(columns[f.name], f) for f in stored]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _arrow_type(feature: Feature) -> pa.DataType:
    """As ``datasets`` stores the feature: scalars as they are, vectors as lists of fixed size."""
    dtype = pa.string() if feature.dtype == "string" else pa.from_numpy_dtype(np.dtype(feature.dtype))
    for size in reversed(feature.row_shape):
        dtype = pa.list_(dtype, size)
    return dtype


def _arrow_array(values: np.ndarray, feature: Feature) -> pa.Array:
    if feature.dtype == "string":
        return pa.array(values.tolist(), pa.string())
    array = pa.array(np.ascontiguousarray(values, feature.dtype).ravel())
    for size in reversed(feature.row_shape):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _placed(row: PlacedEpisode, tasks: list[str], spec: DatasetSpec) -> dict[str, np.ndarray]:
    length = row.part.length
    return {
        "timestamp": (np.arange(length) / spec.fps).astype(np.float32),
        "frame_index": np.arange(length),
        "episode_index": np.full(length, row.index),
        "index": np.arange(row.start, row.start + length),
        "task_index": np.array([tasks.index(task) for task in row.part.tasks])[row.part.task_T],
    }


def _placed_stats(row: PlacedEpisode, tasks: list[str], spec: DatasetSpec) -> dict[str, dict[str, np.ndarray]]:
    return {name: of_column(values) for name, values in _placed(row, tasks, spec).items()}


def _write_videos(folder: Path, spec: DatasetSpec, rows: list[PlacedEpisode], key: str, old: Path | None) -> None:
    place, size, frames, group = (0, 0), 0, 0, []
    for row in rows:
        segment = row.part.videos[key]
        grown = video_writer.payload_bytes(segment, spec.fps)
        full = size + grown >= spec.video_mb << 20 or (frames + segment.frames) / spec.fps > video_writer.MAX_SECONDS
        if group and (full or not video_writer.joinable(group[-1].part.videos[key].path, segment.path)):
            _write_video_file(folder, spec, group, key, old)
            place, size, frames, group = layout.next_file(*place), 0, 0, []
        row.videos[key] = *place, frames / spec.fps
        size, frames = size + grown, frames + segment.frames
        group.append(row)
    _write_video_file(folder, spec, group, key, old)


def _write_video_file(folder: Path, spec: DatasetSpec, group: list[PlacedEpisode], key: str, old: Path | None) -> None:
    chunk, file, _ = group[0].videos[key]
    relative = layout.VIDEO.format(video_key=key, chunk_index=chunk, file_index=file)
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    segments = [row.part.videos[key] for row in group]
    from_one_file = old is not None and all(segment.path == old / relative for segment in segments)
    if from_one_file and video_writer.frames_in(old / relative) == sum(segment.frames for segment in segments):
        os.link(old / relative, path)
        return
    video_writer.join(path, segments, spec.fps)
