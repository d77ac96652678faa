"""Reads LeRobot datasets (v2.0, v2.1, v3.0), ours and anyone's: rows, windows with pictures, whole episodes.

    dataset = open_dataset("runs/demo/dataset")
    batch = dataset.window(0, range(8))       # {"action": (8, 7), "observation.images.front": (8, H, W, 3) uint8, ...}

Nothing outside the folder is opened, nothing is unpickled, and what does not fit its description is refused.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout, metadata, stored_statistics
from prophrl_training.datasets.features import Feature, parse_features
from prophrl_training.datasets.metadata import EpisodeEntry
from prophrl_training.datasets.tables import Tables
from prophrl_training.datasets.video_reader import OpenVideos

CACHE_BYTES = 256 << 20
_MAX_PICTURE_BYTES = 64 << 20
_RANGE = re.compile(r"(\d+):(\d+)")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An open dataset. ``stats`` are by feature and name; ``episode`` arguments are positions in ``episodes``.

    One thread at a time; ``again()`` gives another thread its own.
    """

    folder: Path
    info: dict
    features: dict[str, Feature]
    tasks: tuple[str, ...]
    episodes: tuple[EpisodeEntry, ...]
    stats: dict[str, dict[str, np.ndarray]]
    cache_bytes: int
    _tables: Tables = dataclasses.field(repr=False)
    _videos: OpenVideos = dataclasses.field(repr=False)
    _frames: collections.OrderedDict = dataclasses.field(repr=False)  # (episode, key, step) -> picture

    @property
    def version(self) -> str:
        """v2.0, v2.1 or v3.0."""
        return self.info["codebase_version"]

    @property
    def fps(self) -> float:
        """Rows a second."""
        return float(self.info["fps"])

    @property
    def robot_type(self) -> str:
        """As the dataset says, empty when it does not."""
        return str(self.info.get("robot_type") or "")

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Features that are pictures."""
        return tuple(f.name for f in self.features.values() if f.is_image)

    def __len__(self) -> int:
        return sum(entry.length for entry in self.episodes)

    def split(self, name: str) -> tuple[int, ...]:
        """Positions in ``episodes`` that ``info["splits"]`` calls ``name`` ("train", "val", ...)."""
        text = (self.info.get("splits") or {}).get(name)
        found = _RANGE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            known = ", ".join(map(str, self.info.get("splits") or {})) or "none"
            raise UserError(f"{self.folder}: no split {name!r} (it has: {known}); try: prophrl data split")
        return tuple(i for i in range(int(found[1]), int(found[2])) if i < len(self.episodes))

    def rows(self, episode: int, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Every column (or those of ``keys``) that is not a picture, whole episode: (T, *shape), scalars (T,)."""
        return {name: self._column(episode, name) for name in self._chosen(keys) if not self.features[name].is_image}

    def window(self, episode: int, steps: Iterable[int], keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Rows at ``steps`` (any order, repeats allowed), pictures as (len(steps), H, W, 3) uint8 RGB."""
        entry = self._entry(episode)
        steps_W = np.asarray(list(steps), np.int64)
        if len(steps_W) and (steps_W.min() < 0 or steps_W.max() >= entry.length):
            raise UserError(
                f"{self.folder}: episode {entry.index} has rows 0 to {entry.length - 1}, asked for "
                f"{steps_W.min()} to {steps_W.max()}"
            )
        return {
            name: self._pictures(episode, name, steps_W)
            if self.features[name].is_image
            else self._column(episode, name)[steps_W]
            for name in self._chosen(keys)
        }

    def frames(self, episode: int, key: str) -> Iterator[np.ndarray]:
        """The pictures of one camera in order, (H, W, 3) uint8 RGB, decoded in one pass and not kept."""
        self._require_picture(key)
        steps_T = range(self._entry(episode).length)
        if self.features[key].dtype == "video":
            yield from self._decode(episode, key, steps_T)
        else:
            for step in steps_T:
                yield self._stored_picture(episode, key, step)

    def task(self, episode: int, step: int = 0) -> str:
        """The instruction in force at a row."""
        index = int(self._column(episode, "task_index")[step])
        if not 0 <= index < len(self.tasks):
            raise UserError(f"{self.folder}: episode {episode}: expected a task below {len(self.tasks)}, got {index}")
        return self.tasks[index]

    def again(self) -> Dataset:
        """The same dataset with files and caches of its own, for another thread."""
        own = Tables(self.folder, self.features, self.cache_bytes // 2), OpenVideos(), collections.OrderedDict()
        return dataclasses.replace(self, _tables=own[0], _videos=own[1], _frames=own[2])

    def close(self) -> None:
        """Close every file."""
        self._videos.close()
        self._frames.clear()

    def _entry(self, episode: int) -> EpisodeEntry:
        if not 0 <= episode < len(self.episodes):
            raise UserError(f"{self.folder}: expected an episode below {len(self.episodes)}, got {episode}")
        return self.episodes[episode]

    def _chosen(self, keys: Iterable[str] | None) -> Iterable[str]:
        chosen = list(self.features if keys is None else keys)
        for name in chosen:
            if name not in self.features:
                raise UserError(f"{self.folder}: no feature {name!r} (it has: {', '.join(self.features)})")
        return chosen

    def _require_picture(self, key: str) -> None:
        if key not in self.image_keys:
            raise UserError(f"{self.folder}: no camera {key!r} (it has: {', '.join(self.image_keys) or 'none'})")

    def _column(self, episode: int, name: str):
        entry = self._entry(episode)
        start, end = self._tables.place(entry.data_file, entry.index, entry.length)
        return self._tables.column(entry.data_file, name)[start:end]

    def _pictures(self, episode: int, key: str, steps_W: np.ndarray) -> np.ndarray:
        height, width, _ = self.features[key].shape
        out = np.empty((len(steps_W), height, width, 3), np.uint8)
        missing = sorted({int(s) for s in steps_W if (episode, key, int(s)) not in self._frames})
        fresh = {}
        if missing and self.features[key].dtype == "video":
            fresh = dict(zip(missing, self._decode(episode, key, missing), strict=True))
        elif missing:
            fresh = {step: self._stored_picture(episode, key, step) for step in missing}
        for i, step in enumerate(map(int, steps_W)):
            out[i] = fresh[step] if step in fresh else self._frames[episode, key, step]
        self._keep(episode, key, fresh, height * width * 3)
        return out

    def _keep(self, episode: int, key: str, fresh: dict[int, np.ndarray], picture_bytes: int) -> None:
        room = max(0, self.cache_bytes // 2 // picture_bytes)
        for step, picture in fresh.items():
            self._frames[episode, key, step] = picture
        while len(self._frames) > room:
            self._frames.popitem(last=False)

    def _decode(self, episode: int, key: str, steps: Iterable[int]) -> Iterator[np.ndarray]:
        entry = self._entry(episode)
        relative, begin = entry.videos[key]
        height, width, _ = self.features[key].shape
        path = layout.inside(self.folder, relative, layout.MAX_VIDEO_BYTES)
        times_T = np.asarray(self._column(episode, "timestamp"), np.float64)
        video = self._videos.get(path, height, width, f"{self.folder}: {relative}")
        yield from video.frames_at((begin + times_T[step] for step in steps), 0.5 / self.fps)

    def _stored_picture(self, episode: int, key: str, step: int) -> np.ndarray:
        where = f"{self.folder}: episode {episode}: {key} at row {step}"
        value = self._column(episode, key)[step].as_py()
        stored = value.get("bytes") if isinstance(value, dict) else value
        if stored is None and isinstance(value, dict) and isinstance(value.get("path"), str):
            stored = layout.inside(self.folder, value["path"], _MAX_PICTURE_BYTES).read_bytes()
        if not isinstance(stored, bytes) or not 0 < len(stored) <= _MAX_PICTURE_BYTES:
            raise UserError(f"{where}: expected PNG or JPEG bytes of at most {_MAX_PICTURE_BYTES}, got something else")
        bgr = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
        height, width, _ = self.features[key].shape
        if bgr is None or bgr.shape != (height, width, 3):
            came = "damaged bytes" if bgr is None else f"{bgr.shape[1]}x{bgr.shape[0]}"
            raise UserError(f"{where}: expected a {width}x{height} picture, got {came}")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def open_dataset(
    folder: str | os.PathLike, cache_bytes: int = CACHE_BYTES, require_statistics: bool = True
) -> Dataset:
    """Open a dataset, keeping at most about ``cache_bytes`` of it in memory.

    UserError with one line when it is not one, is not whole, reaches outside its folder, or (unless
    ``require_statistics`` is off) its statistics are missing or not finite.
    """
    folder = Path(folder)
    info = metadata.read_info(folder)
    features = parse_features(info.get("features"), f"{folder}: {layout.INFO}")
    for name in ("episode_index", "timestamp", "task_index"):
        if name not in features:
            raise UserError(f"{folder}: {layout.INFO}: expected the feature {name}; is it a LeRobot dataset?")
    tasks = metadata.read_tasks(folder, info)
    episodes = metadata.read_episodes(folder, info, features)
    stats = {}
    if require_statistics:
        stats = stored_statistics.read_stats(folder, info)
        stored_statistics.check_stats(folder, stats, features)
    tables = Tables(folder, features, cache_bytes // 2)
    return Dataset(
        folder, info, features, tasks, episodes, stats, cache_bytes, tables, OpenVideos(), collections.OrderedDict()
    )
