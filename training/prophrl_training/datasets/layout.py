"""Where the files of a LeRobot dataset are, and the check that a foreign one stays inside its folder.

Source of the layout: lerobot 0.4.4, ``lerobot/datasets/utils.py`` (v3.0) and its v2.1 converter (v2.1).
"""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

from prophrl_core.errors import UserError

INFO, STATS = "meta/info.json", "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES_FOLDER = "meta/episodes"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

LEGACY_EPISODES, LEGACY_TASKS = "meta/episodes.jsonl", "meta/tasks.jsonl"
LEGACY_EPISODE_STATS = "meta/episodes_stats.jsonl"

VERSION = "v3.0"
READABLE = ("v2.0", "v2.1", "v3.0")
CHUNKS_SIZE = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200

MAX_JSON_BYTES = 256 << 20
MAX_PARQUET_BYTES = 4 << 30
MAX_VIDEO_BYTES = 16 << 30
_FIELDS = {"chunk_index", "file_index", "episode_chunk", "episode_index", "video_key"}
_SPEC = re.compile(r"(0?\d{1,2}d)?")


def check_template(template: object, where: str) -> str:
    """A path template of ``info.json`` that can only name files below the folder; UserError otherwise."""
    if not isinstance(template, str) or len(template) > 500:
        raise UserError(f"{where}: expected a path template, got {str(template)[:80]!r}")
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"{where}: expected a path template, got {template[:80]!r} ({error})") from None
    for _, field, spec, conversion in parts:
        if field is not None and (field not in _FIELDS or conversion or not _SPEC.fullmatch(spec or "")):
            raise UserError(f"{where}: expected fields out of {sorted(_FIELDS)}, got {field!r} in {template[:80]!r}")
    if template.startswith(("/", "~")) or "\\" in template or ".." in template.split("/"):
        raise UserError(f"{where}: {template[:80]!r} leaves the dataset's folder; do not use this dataset")
    return template


def inside(folder: Path, relative: str, limit: int) -> Path:
    """An existing regular file of at most ``limit`` bytes below ``folder``, links followed; UserError otherwise."""
    root = folder.resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root):
        raise UserError(f"{folder}: {relative} leaves the dataset's folder; do not use this dataset")
    if not path.is_file():
        raise UserError(f"{folder}: expected the file {relative}, found none; the dataset is not whole")
    if path.stat().st_size > limit:
        raise UserError(f"{folder}: {relative}: expected at most {limit} bytes, got {path.stat().st_size}")
    return path


def read_json(folder: Path, relative: str) -> object:
    """A JSON file of the dataset; ``NaN`` and ``Infinity`` come out as numbers and are judged by who uses them."""
    path = inside(folder, relative, MAX_JSON_BYTES)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder}: {relative} is not valid JSON: {str(error)[:120]}") from None


def read_json_lines(folder: Path, relative: str) -> list[dict]:
    """The objects of a .jsonl file of the dataset."""
    path = inside(folder, relative, MAX_JSON_BYTES)
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    try:
        rows = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder}: {relative} is not valid JSON: {str(error)[:120]}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{folder}: {relative}: expected one JSON object a line")
    return rows


def next_file(chunk_index: int, file_index: int) -> tuple[int, int]:
    """The indices after these, as LeRobot counts."""
    return (chunk_index + 1, 0) if file_index == CHUNKS_SIZE - 1 else (chunk_index, file_index + 1)
