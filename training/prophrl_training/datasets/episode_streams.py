"""The streams of one recorded episode that a dataset is made of, or the reason why it cannot be converted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from prophrl_core import se3
from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, read_meta
from prophrl_core.episode_reader import Episode
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec

from prophrl_training.datasets.resample import Steps, execution_error

STREAMS = ("joint_states", "arm/tcp_pose", "arm/target", "gripper/state")
SOURCES = ("policy", "teleop", "replay", "freedrive")  # ActionChunk.SOURCE_*
PERSON = (1, 3)
MAX_EXECUTION_ERROR = 0.002, 0.02  # m, rad, that nine of ten executed steps keep against the commanded targets
MAX_SKEW_SPREAD = 0.25  # s between the clocks of two streams
MAX_OVERTAKING = 0.1  # s by which messages may have overtaken each other; more is a clock that jumps


@dataclasses.dataclass(frozen=True)
class EpisodeStreams:
    """Stamps and values of an episode's streams (N differs from stream to stream), poses T_base_tcp."""

    episode: Episode
    joints: tuple[np.ndarray, np.ndarray]  # (N,), (N, J) rad, measured
    tcp: tuple[np.ndarray, np.ndarray]  # (N,), (N, 4, 4), measured
    target: tuple[np.ndarray, np.ndarray, np.ndarray]  # (N,), (N, 4, 4), (N,) openness, commanded
    gripper: tuple[np.ndarray, np.ndarray]  # (N,), (N,) openness, measured
    steps: Steps
    cameras: dict[str, np.ndarray]  # stamps (N,), in order
    picture_numbers: dict[str, np.ndarray]  # (N,) which of the recorded pictures each stamp is of
    joint_names: tuple[str, ...]

    @property
    def stamps(self) -> dict[str, np.ndarray]:
        """Stamps (N,) of every stream that rows are made of, by topic, pictures by camera."""
        values = self.joints, self.tcp, self.target, self.gripper
        return {topic: value[0] for topic, value in zip(STREAMS, values, strict=True)} | self.cameras

    @property
    def span(self) -> tuple[float, float]:
        """From the first moment at which every stream is there to the end of the trial, or of the first to stop."""
        streams = self.stamps.values()
        last = min(t_N[-1] for t_N in streams)
        ended = self.episode.meta.ended
        return max(t_N[0] for t_N in streams), min(last, ended) if ended > self.episode.meta.started else last


def read_streams(episode: Episode, task: TaskSpec, cameras: tuple[str, ...]) -> EpisodeStreams:
    """Read and check one episode; UserError says in one line why it is refused and what may help."""
    meta = episode.meta
    if meta.task != task.name:
        raise UserError(f"recorded for task {meta.task!r}, expected {task.name!r}; convert it by itself")
    if meta.spec_id and meta.spec_id != task.action.id:
        raise UserError(
            f"its actions follow spec {meta.spec_id}, the task's are {task.action.id}; give its own --task FILE"
        )
    if not cameras:
        raise UserError("no camera has recorded a picture; record again with a camera in the cell")
    missing = [name for name in cameras if name not in episode.cameras]
    if missing:
        has = ", ".join(episode.cameras) or "none"
        advice = "leave it out with --cameras, or record again"
        raise UserError(f"camera {missing[0]!r} is missing (it has: {has}); {advice}")
    absent = [topic for topic in STREAMS if not episode.topics.get(f"/{topic}")]
    if absent:
        raise UserError(f"it holds nothing on /{absent[0]}; was it recorded by this cell's recorder?")
    events = [topic for topic in ("arm/chunk", "arm/executed_action") if episode.topics.get(f"/{topic}")]
    series = episode.several_series([*STREAMS, *events])
    joints, tcp, target, gripper = (_in_order(series[topic], f"/{topic}") for topic in STREAMS)
    topics = {name: _colour_topic(episode, name) for name in cameras}
    stamps = episode.stamps(list(topics.values()))
    orders = {name: _since_start(_order(stamps[topic], topic), stamps[topic], meta) for name, topic in topics.items()}
    _check_clocks(episode, cameras)
    target_poses = _poses(target, "tcp")
    steps = _steps(series, task, target["t"], target_poses)
    names = joints["name"][0]
    return EpisodeStreams(
        episode=episode,
        joints=(joints["t"], _finite(joints["position"], "joint_states")),
        tcp=(tcp["t"], _poses(tcp, "pose")),
        target=(target["t"], target_poses, _finite(target["openness"], "arm/target")),
        gripper=(gripper["t"], _finite(gripper["openness"], "gripper/state")),
        steps=steps,
        cameras={name: stamps[topic][orders[name]] for name, topic in topics.items()},
        picture_numbers=orders,
        joint_names=tuple(map(str, names)),
    )


def read_finished_meta(folder: Path) -> EpisodeMeta:
    """What a finished episode says about itself; UserError when the folder is something else."""
    if folder.name.endswith(PARTIAL_SUFFIX):
        raise UserError(f"its recording was never finished; try: prophrl data repair {folder.parent}")
    return read_meta(folder)


def _in_order(series: dict[str, np.ndarray], topic: str) -> dict[str, np.ndarray]:
    order_N = _order(series["t"], topic)
    return {name: values[order_N] for name, values in series.items()}


def _colour_topic(episode: Episode, camera: str) -> str:
    return next(name for name in episode.topics if name.startswith(f"/camera/{camera}/color/image_raw"))


def _since_start(order_N: np.ndarray, stamps_N: np.ndarray, meta: EpisodeMeta) -> np.ndarray:
    """Without the pictures taken before the trial began: the scene may have been laid out after them."""
    kept = order_N[stamps_N[order_N] >= meta.started]
    if not len(kept):
        raise UserError("no picture was taken during the trial; the recording cannot be used")
    return kept


def _order(t_N: np.ndarray, topic: str) -> np.ndarray:
    """Indices (N,) that put a stream in order of time; UserError when its clock jumps back or it is none."""
    if len(t_N) < 2:
        raise UserError(f"expected a stream on {topic}, found {len(t_N)} messages; record again")
    latest_N = np.maximum.accumulate(t_N)
    worst = int(np.argmax(latest_N - t_N))
    back = latest_N[worst] - t_N[worst]
    if back > MAX_OVERTAKING:
        at = t_N[worst] - t_N[0]
        raise UserError(f"the clock of {topic} jumps back by {back:.3f} s at {at:.2f} s; synchronise and record again")
    return np.argsort(t_N, kind="stable")


def _check_clocks(episode: Episode, cameras: tuple[str, ...]) -> None:
    """Refuse streams whose stamps come from clocks that do not agree: receive time minus stamp must be alike."""
    used = ("/joint_states", "/arm/tcp_pose", "/arm/target", "/gripper/state")
    used += tuple(f"/camera/{name}/color/image_raw" for name in cameras)
    streams = [stream for stream in episode.meta.streams if stream.topic.startswith(used)]
    skews = {stream.topic: stream.clock_skew for stream in streams if stream.clock_skew is not None}
    if skews and max(skews.values()) - min(skews.values()) > MAX_SKEW_SPREAD:
        low, high = min(skews, key=skews.get), max(skews, key=skews.get)
        raise UserError(
            f"the clocks of {low} and {high} differ by {skews[high] - skews[low]:.2f} s, expected at most "
            f"{MAX_SKEW_SPREAD} s; synchronise them and record again"
        )


def _steps(series: dict[str, dict], task: TaskSpec, target_t: np.ndarray, target_poses: np.ndarray) -> Steps:
    period = task.action.step_period
    periods = series["arm/chunk"]["step_period"] if "arm/chunk" in series else np.zeros(0)
    off = periods[np.abs(periods - period) > 1e-6]
    if len(off):
        raise UserError(
            f"it mixes rates: a chunk has steps of {off[0]:.4g} s, the task's are {period:.4g} s; give its own --task"
        )
    if "arm/executed_action" not in series:
        empty = np.zeros((0, task.action.dims))
        return Steps(np.zeros(0), np.zeros(0), empty, empty, np.zeros(0, np.int64))
    series = series["arm/executed_action"]
    _finite(series["executed"], "arm/executed_action")
    if series["executed"].shape[-1] != task.action.dims:
        raise UserError(f"expected executed actions of {task.action.dims} values, got {series['executed'].shape[-1]}")
    order = np.argsort(series["t"], kind="stable")
    parts = (series[name][order] for name in ("t", "proposed", "executed", "source"))
    steps = Steps.chained(*parts, period)
    distance_S, angle_S = execution_error(steps, target_t, target_poses)
    if len(distance_S):
        found = np.quantile(distance_S, 0.9), np.quantile(angle_S, 0.9)
        if found[0] > MAX_EXECUTION_ERROR[0] or found[1] > MAX_EXECUTION_ERROR[1]:
            raise UserError(
                f"its executed actions are not the commanded motion: a tenth is off by {1e3 * found[0]:.1f} mm or "
                f"{found[1]:.3f} rad, allowed {1e3 * MAX_EXECUTION_ERROR[0]:.0f} mm and {MAX_EXECUTION_ERROR[1]} rad"
            )
    return steps


def _poses(series: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    position = np.stack([series[f"{prefix}.position.{axis}"] for axis in "xyz"], 1)
    quaternion = np.stack([series[f"{prefix}.orientation.{axis}"] for axis in "xyzw"], 1)
    _finite(position, prefix)
    if not (np.abs(np.linalg.norm(quaternion, axis=1) - 1.0) < 1e-3).all():
        raise UserError(f"expected unit quaternions in {prefix}, got others; record again")
    return se3.transform(se3.matrix_from_quat(quaternion), position)


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    if values.dtype == object or not np.isfinite(values).all():
        raise UserError(f"expected finite numbers on {what}, got others; record again")
    return values
