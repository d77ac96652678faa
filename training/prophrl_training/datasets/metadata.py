"""What a dataset says about itself: info, tasks and episodes of LeRobot v2.0, v2.1 and v3.0."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout
from prophrl_training.datasets.features import Feature


@dataclasses.dataclass(frozen=True)
class EpisodeEntry:
    """One episode. ``facts`` are the columns beyond the layout (ours: outcome, seed, operator, ...).

    ``data_file`` is relative; ``videos`` maps a feature to (relative file, s at which the episode begins in it).
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    facts: dict[str, object]
    data_file: str
    videos: dict[str, tuple[str, float]]


def read_info(folder: Path) -> dict:
    """``meta/info.json`` with the fields that everything else needs; UserError when it is not one."""
    if not (folder / layout.INFO).is_file():
        raise UserError(f"{folder}: expected a LeRobot dataset with {layout.INFO}, found none; is the folder right?")
    info = layout.read_json(folder, layout.INFO)
    where = f"{folder}: {layout.INFO}"
    if not isinstance(info, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(info).__name__}")
    version = info.get("codebase_version")
    if version not in layout.READABLE:
        raise UserError(f"{where}: expected codebase_version {', '.join(layout.READABLE)}, got {version!r}")
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 10_000:
        raise UserError(f"{where}: expected fps above 0, got {fps!r}")
    for name in ("total_episodes", "total_frames"):
        if not isinstance(info.get(name), int) or info[name] < 0:
            raise UserError(f"{where}: expected a count as {name}, got {info.get(name)!r}")
    layout.check_template(info.get("data_path"), f"{where}: data_path")
    if info.get("video_path") is not None:
        layout.check_template(info["video_path"], f"{where}: video_path")
    return info


def read_tasks(folder: Path, info: dict) -> tuple[str, ...]:
    """Instructions by task index."""
    if info["codebase_version"] == "v3.0":
        columns = read_columns(folder, layout.TASKS, None)
        text = next((name for name in ("__index_level_0__", "task") if name in columns), None)
        if text is None or "task_index" not in columns:
            raise UserError(f"{folder}: {layout.TASKS}: expected task_index and task, got {sorted(columns)}")
        pairs = zip(columns["task_index"], columns[text], strict=True)
    else:
        rows = layout.read_json_lines(folder, layout.LEGACY_TASKS)
        pairs = ((row.get("task_index"), row.get("task")) for row in rows)
    by_index = {index: str(task) for index, task in pairs}
    if sorted(by_index, key=repr) != sorted(range(len(by_index)), key=repr):
        raise UserError(f"{folder}: expected tasks numbered from 0 without gaps, got {list(by_index)[:10]}")
    return tuple(by_index[i] for i in range(len(by_index)))


def read_episodes(folder: Path, info: dict, features: dict[str, Feature]) -> tuple[EpisodeEntry, ...]:
    """Every episode, in the order of its index."""
    videos = [f.name for f in features.values() if f.dtype == "video"]
    if videos and info.get("video_path") is None:
        raise UserError(f"{folder}: {layout.INFO}: expected video_path for {videos[0]}, got none")
    read = _episodes_v3 if info["codebase_version"] == "v3.0" else _episodes_v2
    entries = sorted(read(folder, info, videos), key=lambda entry: entry.index)
    for entry in entries:
        if entry.length < 1:
            raise UserError(f"{folder}: episode {entry.index}: expected at least one row, got {entry.length}")
    rows = sum(entry.length for entry in entries)
    if (len(entries), rows) != (info["total_episodes"], info["total_frames"]):
        raise UserError(
            f"{folder}: expected {info['total_episodes']} episodes with {info['total_frames']} rows as {layout.INFO} "
            f"says, found {len(entries)} with {rows}; the dataset is not whole"
        )
    if len({entry.index for entry in entries}) != len(entries):
        raise UserError(f"{folder}: expected every episode index once; the dataset is damaged")
    return tuple(entries)


_V3_COLUMNS = {"episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index"}


def _episodes_v3(folder: Path, info: dict, videos: list[str]) -> list[EpisodeEntry]:
    files = sorted((folder / layout.EPISODES_FOLDER).glob("*/*.parquet"))
    if not files:
        raise UserError(f"{folder}: expected {layout.EPISODES_FOLDER}/*/*.parquet, found none")
    entries = []
    for file in files:
        relative = file.relative_to(folder).as_posix()
        columns = read_columns(folder, relative, lambda name: not name.startswith("stats/"))
        needed = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        needed += [f"videos/{key}/{part}" for key in videos for part in ("chunk_index", "file_index", "from_timestamp")]
        missing = [name for name in needed if name not in columns]
        if missing:
            raise UserError(f"{folder}: {relative}: expected the column {missing[0]}, found none")
        if any(value is None for name in needed for value in columns[name]):
            raise UserError(f"{folder}: {relative}: expected a value in every row of {', '.join(needed[:4])} ...")
        own = [n for n in columns if n not in _V3_COLUMNS and not n.startswith(("data/", "videos/", "meta/"))]
        for row in range(len(columns["episode_index"])):
            places = {
                key: (
                    _path(info["video_path"], columns[f"videos/{key}/chunk_index"][row],
                          columns[f"videos/{key}/file_index"][row], key),
                    float(columns[f"videos/{key}/from_timestamp"][row]),
                )
                for key in videos
            }  # fmt: skip
            entries.append(
                EpisodeEntry(
                    int(columns["episode_index"][row]),
                    int(columns["length"][row]),
                    tuple(str(task) for task in columns.get("tasks", [[]] * (row + 1))[row] or ()),
                    {name: columns[name][row] for name in own},
                    _path(info["data_path"], columns["data/chunk_index"][row], columns["data/file_index"][row], ""),
                    places,
                )
            )
    return entries


def _episodes_v2(folder: Path, info: dict, videos: list[str]) -> list[EpisodeEntry]:
    chunks = info.get("chunks_size", layout.CHUNKS_SIZE)
    if not isinstance(chunks, int) or chunks < 1:
        raise UserError(f"{folder}: {layout.INFO}: expected chunks_size above 0, got {chunks!r}")
    entries = []
    for row in layout.read_json_lines(folder, layout.LEGACY_EPISODES):
        index, length, tasks = row.get("episode_index"), row.get("length"), row.get("tasks", [])
        if not isinstance(index, int) or not isinstance(length, int) or not isinstance(tasks, list) or index < 0:
            raise UserError(f"{folder}: {layout.LEGACY_EPISODES}: expected episode_index, length and tasks, got {row}")
        facts = {k: v for k, v in row.items() if k not in ("episode_index", "length", "tasks")}
        fields = {"episode_chunk": index // chunks, "episode_index": index}
        places = {key: (_fill(info["video_path"], video_key=key, **fields), 0.0) for key in videos}
        data = _fill(info["data_path"], video_key="", **fields)
        entries.append(EpisodeEntry(index, length, tuple(map(str, tasks)), facts, data, places))
    return entries


def _path(template: str, chunk_index: int, file_index: int, key: str) -> str:
    return _fill(template, chunk_index=int(chunk_index), file_index=int(file_index), video_key=key)


def _fill(template: str, **fields) -> str:
    try:
        return template.format(**fields)
    except (KeyError, ValueError) as error:
        raise UserError(f"dataset: the path template {template!r} does not fit this version ({error})") from None


def read_columns(folder: Path, relative: str, wanted) -> dict[str, list]:
    """Columns of a parquet file as Python values; ``wanted(name)`` chooses them, None takes all."""
    path = layout.inside(folder, relative, layout.MAX_PARQUET_BYTES)
    try:
        names = pq.read_schema(path).names
        chosen = [name for name in names if wanted is None or wanted(name)]
        return pq.read_table(path, columns=chosen).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{folder}: {relative} cannot be read: {str(error).splitlines()[0][:120]}") from None
