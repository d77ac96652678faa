"""Episodes on disk: one folder per trial, complete only when it bears its final name."""

import dataclasses
import json
import time
from pathlib import Path

from prophrl_core import strict_yaml
from prophrl_core.errors import UserError

OUTCOMES = ("success", "failure", "fault", "aborted")
META_NAME = "episode.json"
PARTIAL_SUFFIX = ".partial"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class StreamSummary:
    """One recorded stream."""

    topic: str
    type: str
    messages: int
    lost: int = 0
    rate: float = 0.0  # Hz, mean
    max_gap: float = 0.0  # s


@dataclasses.dataclass(frozen=True)
class EpisodeMeta:
    """What ``episode.json`` says. Times are wall-clock seconds since the epoch."""

    episode_id: str
    task: str
    instruction: str
    cell: str
    robot: str
    policy_version: str
    seed: int
    trial: int
    started: float
    ended: float = 0.0
    outcome: str = ""
    reason: str = ""
    operator: str = ""
    spec_id: str = ""
    streams: tuple[StreamSummary, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def duration(self) -> float:
        """Seconds from start to stop."""
        return max(0.0, self.ended - self.started)


def new_episode_id(task: str, trial: int, now: float | None = None) -> str:
    """``YYYYmmdd-HHMMSS-<task>-<nnn>``, unique within a session."""
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{task}-{trial:03d}"


def write_meta(folder: Path, meta: EpisodeMeta) -> None:
    """Write ``episode.json`` atomically."""
    partial = folder / (META_NAME + PARTIAL_SUFFIX)
    partial.write_text(json.dumps(dataclasses.asdict(meta), indent=1) + "\n")
    partial.replace(folder / META_NAME)


def read_meta(folder: Path) -> EpisodeMeta:
    """Read ``episode.json``; UserError when it is missing or not what this version writes."""
    path = Path(folder) / META_NAME
    if not path.is_file():
        raise UserError(f"episode: expected {META_NAME} in {folder}, found none; is it an episode folder?")
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); try 'prophrl data repair'") from None
    return strict_yaml.build(EpisodeMeta, data, str(path))
