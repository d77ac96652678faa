"""One recorded trial as arrays for tables and plots."""

import dataclasses
from pathlib import Path

import numpy as np
from prophrl_core.episode import EpisodeMeta
from prophrl_core.episode_reader import Episode, read_episode


@dataclasses.dataclass(frozen=True)
class Trial:
    """Times in seconds from the trial's start; positions (N, 3) in metres, base frame."""

    folder: Path
    meta: EpisodeMeta
    commanded_t: np.ndarray
    commanded_xyz: np.ndarray
    commanded_openness: np.ndarray
    measured_t: np.ndarray
    measured_xyz: np.ndarray
    gripper_t: np.ndarray
    gripper_openness: np.ndarray
    chunk_t: np.ndarray
    chunk_latency_ms: np.ndarray
    envelope_t: np.ndarray
    envelope_limits: tuple[str, ...]

    def tracking_error_mm(self) -> np.ndarray:
        """Distance of the measured TCP from the commanded one, mm, where both are known.

        The measured TCP lags the command by the controller's look-ahead, so this holds the lag, too.
        """
        if not len(self.measured_t) or not len(self.commanded_t):
            return np.empty(0)
        inside = (self.measured_t >= self.commanded_t[0]) & (self.measured_t <= self.commanded_t[-1])
        t = self.measured_t[inside]
        wanted = np.stack([np.interp(t, self.commanded_t, self.commanded_xyz[:, i]) for i in range(3)], 1)
        return 1e3 * np.linalg.norm(wanted - self.measured_xyz[inside], axis=1)


def _xyz(series: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    return np.stack([series[f"{prefix}.{axis}"] for axis in "xyz"], axis=1)


def load_trial(folder: Path) -> Trial:
    """Read one episode folder; streams that were not recorded come out empty."""
    episode: Episode = read_episode(folder)
    start = episode.meta.started

    def stream(topic: str) -> dict[str, np.ndarray] | None:
        return episode.series(topic) if episode.topics.get(f"/{topic}") else None

    empty, empty3 = np.empty(0), np.empty((0, 3))
    target, pose = stream("arm/target"), stream("arm/tcp_pose")
    gripper, chunk, event = stream("gripper/state"), stream("arm/chunk"), stream("arm/envelope_event")
    return Trial(
        folder=Path(folder),
        meta=episode.meta,
        commanded_t=target["t"] - start if target else empty,
        commanded_xyz=_xyz(target, "tcp.position") if target else empty3,
        commanded_openness=target["openness"] if target else empty,
        measured_t=pose["t"] - start if pose else empty,
        measured_xyz=_xyz(pose, "pose.position") if pose else empty3,
        gripper_t=gripper["t"] - start if gripper else empty,
        gripper_openness=gripper["openness"] if gripper else empty,
        chunk_t=chunk["t"] - start if chunk else empty,
        chunk_latency_ms=1e3 * (chunk["header.stamp"] - chunk["observation_stamp"]) if chunk else empty,
        envelope_t=event["t"] - start if event else empty,
        envelope_limits=tuple(event["limit"]) if event else (),
    )
