"""Episodes on disk: one folder per trial, complete only when it bears its final name."""

import dataclasses
import json
import os
import time
from pathlib import Path

from prophrl_core import strict_yaml
from prophrl_core.errors import UserError

OUTCOMES = ("success", "failure", "fault", "aborted", "discarded")
META_NAME = "episode.json"
PARTIAL_SUFFIX = ".partial"
META_LIMIT = 1 << 20  # bytes of episode.json
FORMAT_VERSION = 2  # 2: clock skew and bytes per stream, calibration, control, disk; an episode of version 1 reads, too


@dataclasses.dataclass(frozen=True)
class StreamSummary:
    """One recorded stream."""

    topic: str
    type: str
    messages: int
    lost: int = 0
    rate: float = 0.0  # Hz, mean
    max_gap: float = 0.0  # s
    clock_skew: float | None = None  # s, median of receive time minus header stamp; None without a stamp
    bytes: int = 0  # of messages as stored, before the bag's own compression


@dataclasses.dataclass(frozen=True)
class CameraCalibration:
    """One camera as it was used: pose from the cell description, intrinsics as the camera reported them.

    ``k`` is fx, fy, cx, cy in pixels of (width, height); all zero when the camera never said.
    """

    name: str
    T_base_camera: tuple[float, float, float, float, float, float]  # m, rotation vector; optical frame of colour
    width: int = 0
    height: int = 0
    k: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()
    hash: str = ""  # of everything above


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was in force: hashes of the cell description and of its envelope, and the cameras."""

    cell_hash: str
    envelope_hash: str
    cameras: tuple[CameraCalibration, ...] = ()


@dataclasses.dataclass(frozen=True)
class ControlSummary:
    """Executed steps by who proposed them; ``interventions``: how often a person took over from a policy."""

    policy: int = 0
    teleop: int = 0
    replay: int = 0
    freedrive: int = 0
    other: int = 0  # a source that this version does not know
    clamped: int = 0  # steps that the envelope changed, of any source
    interventions: int = 0


@dataclasses.dataclass(frozen=True)
class DiskSummary:
    """What the disk took, ms: handing a piece of the bag to the kernel, and forcing it out (``sync``)."""

    writes: int = 0
    write_p50: float = 0.0
    write_p99: float = 0.0
    write_max: float = 0.0
    syncs: int = 0
    sync_p50: float = 0.0
    sync_p99: float = 0.0
    sync_max: float = 0.0


@dataclasses.dataclass(frozen=True)
class EpisodeMeta:
    """What ``episode.json`` says. Times are wall-clock seconds since the epoch.

    ``calibration``, ``control`` and ``disk`` are None in episodes of format version 1.
    """

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
    calibration: Calibration | None = None
    control: ControlSummary | None = None
    disk: DiskSummary | None = None

    @property
    def duration(self) -> float:
        """Seconds from start to stop."""
        return max(0.0, self.ended - self.started)


def new_episode_id(task: str, trial: int, now: float | None = None) -> str:
    """``YYYYmmdd-HHMMSS-<task>-<nnn>``, unique within a session."""
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{task}-{trial:03d}"


def write_meta(folder: Path, meta: EpisodeMeta) -> None:
    """Write ``episode.json`` atomically."""
    write_synced(folder / META_NAME, json.dumps(dataclasses.asdict(meta), indent=1) + "\n")


def write_synced(path: Path, text: str) -> None:
    """Replace a file so that a power cut leaves the old content or the new one."""
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_meta(folder: Path) -> EpisodeMeta:
    """Read ``episode.json``; UserError when it is missing or not what this version writes."""
    path = Path(folder) / META_NAME
    if not path.is_file():
        raise UserError(f"episode: expected {META_NAME} in {folder}, found none; is it an episode folder?")
    try:
        if path.stat().st_size > META_LIMIT:
            raise UserError(f"{path}: expected at most {META_LIMIT >> 20} MiB, got {path.stat().st_size} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected JSON, got something else ({error}); the episode cannot be read") from None
    version = data.get("format_version", 1) if isinstance(data, dict) else 1
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(f"{path}: expected format version {FORMAT_VERSION} or older, got {version}; update prophrl")
    return strict_yaml.build(EpisodeMeta, data, str(path))
