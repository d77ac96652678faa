"""Recorded episodes for the page: a table, thumbnails, and videos made when they are first asked for."""

import contextlib
import dataclasses
import re
import threading
import time
from pathlib import Path

import cv2
from prophrl_core.episode import META_NAME, PARTIAL_SUFFIX, read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError
from prophrl_core.mp4 import write_mp4

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
SHOWN = 40
THUMBNAIL_WIDTH = 160


@dataclasses.dataclass(frozen=True)
class ShelfRow:
    """One episode; ``problem`` is one line for a folder that cannot be read."""

    episode_id: str
    outcome: str = ""
    reason: str = ""
    duration: float = 0.0  # s
    operator: str = ""
    policy_version: str = ""
    lost: int = 0
    problem: str = ""


class EpisodeShelf:
    """The episodes under ``root``. What is made of them is kept in ``cache``, never in an episode's folder.

    Names that come from outside are checked against ``NAME`` and must be plain folders of ``root``.
    """

    def __init__(self, root: Path, cache: Path, cameras: list[str]):
        self._root, self._cache, self._cameras = Path(root), Path(cache), cameras
        self._rows: dict[str, ShelfRow] = {}
        self._making = threading.Lock()  # one at a time: the live cell needs the processor

    def rows(self) -> list[ShelfRow]:
        """The newest episodes first; each is read once."""
        if not self._root.is_dir():
            return []
        names = sorted((p.name for p in self._root.iterdir() if self._is_episode(p)), reverse=True)[:SHOWN]
        for name in names:
            if name not in self._rows:
                self._rows[name] = _row(self._root / name)
        return [self._rows[name] for name in names]

    def thumbnail(self, episode_id: str) -> Path:
        """JPEG of the last picture of the first camera, near the outcome."""
        return self._made(episode_id, "thumbnail.jpg", _write_thumbnail)

    def video(self, episode_id: str, camera: str) -> Path:
        """MP4 (H.264) of one camera in the recorded time."""
        if camera not in self._cameras:
            known = ", ".join(self._cameras)
            raise UserError(f"episode {episode_id[:40]!r}: expected a camera out of {known}, got {camera[:40]!r}")
        return self._made(episode_id, f"{camera}.mp4", lambda episode, path: _write_video(episode, camera, path))

    def _is_episode(self, path: Path) -> bool:
        plain = NAME.fullmatch(path.name) and path.suffix != PARTIAL_SUFFIX and not path.is_symlink()
        return bool(plain) and (path / META_NAME).is_file()

    def _made(self, episode_id: str, name: str, make) -> Path:
        folder = self._root / episode_id
        if not NAME.fullmatch(episode_id) or not self._is_episode(folder):
            raise UserError(f"episodes: expected one of {self._root.name}, got {episode_id[:40]!r}")
        target = self._cache / episode_id / name
        with self._making:
            if not target.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f"{target.stem}.{time.monotonic_ns()}{target.suffix}")
                try:
                    make(read_episode(folder), partial)
                    partial.replace(target)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        partial.unlink()
        return target


def _row(folder: Path) -> ShelfRow:
    try:
        meta = read_meta(folder)
    except UserError as error:
        return ShelfRow(folder.name, problem=str(error))
    lost = sum(stream.lost for stream in meta.streams)
    return ShelfRow(folder.name, meta.outcome, meta.reason, meta.duration, meta.operator, meta.policy_version, lost)


def _write_thumbnail(episode, path: Path) -> None:
    last = None
    for camera in episode.cameras[:1]:
        for _, last in episode.frames(camera):
            pass
    if last is None:
        raise UserError(f"episode {episode.meta.episode_id}: expected pictures, found none")
    height = round(last.shape[0] * THUMBNAIL_WIDTH / last.shape[1])
    small = cv2.resize(last, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))


def _write_video(episode, camera: str, path: Path) -> None:
    if camera not in episode.cameras or not write_mp4(path, episode.frames(camera), every=2):
        raise UserError(f"episode {episode.meta.episode_id}: expected pictures of {camera}, found none")
