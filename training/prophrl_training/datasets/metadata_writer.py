"""The metadata of a LeRobot v3.0 dataset as files: info, tasks, episodes and statistics.

Source of the layout: lerobot 0.4.4, ``lerobot/datasets/utils.py`` and ``LeRobotDatasetMetadata``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from prophrl_training.datasets import layout, video_writer
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.parts import PLACED, EpisodePart
from prophrl_training.datasets.statistics import NAMES

EPISODES_PER_FILE = 5000
PLACED_FEATURES = {
    "timestamp": Feature("timestamp", "float32", (1,)),
    "frame_index": Feature("frame_index", "int64", (1,)),
    "episode_index": Feature("episode_index", "int64", (1,)),
    "index": Feature("index", "int64", (1,)),
    "task_index": Feature("task_index", "int64", (1,)),
}
OWN_KEY = "prophrl"  # of info.json: what LeRobot has no place for


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What a new dataset is, whatever its episodes: ``features`` without the placed ones, ``own`` for ``info.json``."""

    fps: int
    robot_type: str
    features: dict[str, Feature]
    own: dict
    video_mb: int = layout.VIDEO_FILE_MB
    data_mb: int = layout.DATA_FILE_MB

    @property
    def all_features(self) -> dict[str, Feature]:
        """As ``info.json`` lists them."""
        return {name: f for name, f in self.features.items() if name not in PLACED} | PLACED_FEATURES

    @property
    def video_keys(self) -> list[str]:
        """Cameras."""
        return [f.name for f in self.features.values() if f.dtype == "video"]


@dataclasses.dataclass
class PlacedEpisode:
    """An episode with the places it has been given."""

    index: int
    start: int  # row in the whole dataset
    part: EpisodePart
    data: tuple[int, int] = (0, 0)
    videos: dict[str, tuple[int, int, float]] = dataclasses.field(default_factory=dict)  # chunk, file, begin (s)


def describe(
    folder: Path, spec: DatasetSpec, rows: list[PlacedEpisode], tasks: list[str], splits: dict[str, str]
) -> dict:
    """``meta/info.json``, after the videos have been written."""
    features = {}
    for feature in spec.all_features.values():
        names = list(feature.names) or None
        features[feature.name] = {"dtype": feature.dtype, "shape": list(feature.shape), "names": names}
        if feature.dtype == "video":
            first = folder / layout.VIDEO.format(video_key=feature.name, chunk_index=0, file_index=0)
            features[feature.name] |= {"names": ["height", "width", "channels"], "info": video_writer.describe(first)}
    return {
        "codebase_version": layout.VERSION,
        "robot_type": spec.robot_type or None,
        "total_episodes": len(rows),
        "total_frames": rows[-1].start + rows[-1].part.length,
        "total_tasks": len(tasks),
        "chunks_size": layout.CHUNKS_SIZE,
        "data_files_size_in_mb": spec.data_mb,
        "video_files_size_in_mb": spec.video_mb,
        "fps": spec.fps,
        "splits": splits,
        "data_path": layout.DATA,
        "video_path": layout.VIDEO if spec.video_keys else None,
        "features": features,
        OWN_KEY: spec.own,
    }


def write_episodes(folder: Path, spec: DatasetSpec, rows: list[PlacedEpisode], stats: list[dict]) -> None:
    names = {name: None for row in rows for name in row.part.facts}
    for file, first in enumerate(range(0, len(rows), EPISODES_PER_FILE)):
        place = divmod(file, layout.CHUNKS_SIZE)
        chosen = rows[first : first + EPISODES_PER_FILE]
        listed = [_episode_columns(row, spec, stats[row.index], place, list(names)) for row in chosen]
        path = folder / layout.EPISODES.format(chunk_index=place[0], file_index=place[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(listed), path, compression="snappy")


def _episode_columns(
    row: PlacedEpisode, spec: DatasetSpec, stats: dict, place: tuple[int, int], facts: list[str]
) -> dict[str, object]:
    part = row.part
    columns: dict[str, object] = {"episode_index": row.index, "tasks": list(part.tasks), "length": part.length}
    columns |= {"data/chunk_index": row.data[0], "data/file_index": row.data[1]}
    columns |= {"dataset_from_index": row.start, "dataset_to_index": row.start + part.length}
    for key, (chunk, file, begin) in row.videos.items():
        end = begin + part.videos[key].frames / spec.fps
        columns |= {f"videos/{key}/chunk_index": chunk, f"videos/{key}/file_index": file}
        columns |= {f"videos/{key}/from_timestamp": begin, f"videos/{key}/to_timestamp": end}
    for key, entry in sorted(stats.items()):
        columns |= {f"stats/{key}/{name}": entry[name].tolist() for name in NAMES if name in entry}
    columns |= {"meta/episodes/chunk_index": place[0], "meta/episodes/file_index": place[1]}
    return columns | {name: part.facts.get(name) for name in facts}


def write_tasks(folder: Path, tasks: list[str]) -> None:
    """Tasks as pandas writes them with the text as index, which is how LeRobot reads them."""
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64",
         "metadata": None},
        {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object",
         "metadata": None},
    ]  # fmt: skip
    index = [{"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object",
              "metadata": {"encoding": "UTF-8"}}]  # fmt: skip
    pandas = {"index_columns": ["__index_level_0__"], "column_indexes": index, "columns": columns}
    pandas |= {"creator": {"library": "pyarrow", "version": pa.__version__}, "pandas_version": "2.2.3"}
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": tasks})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), folder / layout.TASKS)


def write_json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=4, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
