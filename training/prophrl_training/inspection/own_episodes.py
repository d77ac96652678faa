"""Our episodes (one folder per trial) as recordings."""

import re
import struct
from pathlib import Path

import numpy as np
from prophrl_core import se3
from prophrl_core.action import integrate
from prophrl_core.episode import PARTIAL_SUFFIX
from prophrl_core.episode_reader import BAG_ERRORS, Episode, read_episode
from prophrl_core.errors import UserError
from rosbags.highlevel import AnyReader

from prophrl_training.embodiments.resample import along
from prophrl_training.inspection.recording import Motion, Recording, Stream

CONTROL = {0: "policy", 1: "teleop", 2: "replay", 3: "freedrive"}
NEEDED, GRIPPER = ("arm/tcp_pose", "arm/target", "arm/executed_action"), "gripper/state"
_REGULAR = re.compile(r"joint_states|arm/(tcp_pose|wrench|target|executed_action)|gripper/state|camera/.*/image_raw.*")
PAUSE = 1.5  # periods between steps that are more than jitter
_REPEATED_S = 1e-6  # a bag opens with the last message of some topics, received at the very start


def load(folder: Path) -> Recording:
    """Read one episode folder; UserError says why it cannot be used."""
    if folder.name.endswith(PARTIAL_SUFFIX):
        raise UserError(f"the recording was not finished; try: prophrl data repair {folder.parent}")
    episode = read_episode(folder)
    start, meta = episode.meta.started, episode.meta
    lost = {summary.topic.lstrip("/"): summary.lost for summary in meta.streams}
    streams = _streams(episode, start, lost)
    for topic in NEEDED:
        if not episode.topics.get(f"/{topic}"):
            raise UserError(f"no messages on {topic}: nothing says how the arm moved")
    motion, control, rate = _motion(episode, start)
    cameras = {name: _frames(episode, name, start) for name in episode.cameras}
    duration = meta.duration or max(float(s.stamp[-1]) for s in streams if len(s.stamp))
    return Recording(
        meta.episode_id, meta.task, meta.outcome or "unlabelled", duration, rate, streams, cameras, (motion,), control
    )


def _frames(episode: Episode, camera: str, start: float):
    return lambda: ((t - start, picture) for t, picture in episode.frames(camera))


def _streams(episode: Episode, start: float, lost: dict[str, int]) -> tuple[Stream, ...]:
    """Times of every stream, from the headers alone."""
    stamps: dict[str, list[float]] = {}
    received: dict[str, list[float]] = {}
    try:
        with AnyReader([episode.folder]) as reader:
            headed = {
                c.topic for c in reader.connections
                if (fields := reader.typestore.get_msgdef(c.msgtype).fields) and fields[0][0] == "header"
            }  # fmt: skip
            for connection, received_ns, raw in reader.messages():
                at = received_ns * 1e-9 - start
                received.setdefault(connection.topic, []).append(at)
                stamp = at
                if connection.topic in headed:
                    seconds, nanoseconds = struct.unpack("<iI" if raw[1] else ">iI", raw[4:12])
                    stamp = seconds - start + nanoseconds * 1e-9 if seconds or nanoseconds else at
                stamps.setdefault(connection.topic, []).append(stamp)
    except BAG_ERRORS as error:
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"the bag is damaged: {what}; try: prophrl data repair {episode.folder}") from None
    made = []
    for topic in sorted(stamps):
        name, first = topic.lstrip("/"), int(received[topic][0] < _REPEATED_S)
        times = np.array(stamps[topic][first:]), np.array(received[topic][first:])
        made.append(Stream(name, *times, lost.get(name, 0), _REGULAR.fullmatch(name) is not None))
    return tuple(made)


def _poses(series: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    quaternion = np.stack([series[f"{prefix}.orientation.{axis}"] for axis in "xyzw"], axis=1)
    position = np.stack([series[f"{prefix}.position.{axis}"] for axis in "xyz"], axis=1)
    if not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
        raise UserError(f"{prefix}: poses that are not finite")
    return se3.transform(se3.matrix_from_quat(quaternion), position)


def _integrated(
    actions: np.ndarray, step_t: np.ndarray, period: float, target_t: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Poses (S, 4, 4) at the ends of the steps. After a pause the commanded pose is where the next actions start."""
    first = np.flatnonzero(np.diff(step_t, prepend=-np.inf) > PAUSE * period)
    poses = np.empty((len(actions), 4, 4))
    for begin, end in zip(first, [*first[1:], len(actions)], strict=True):
        row = np.interp(step_t[begin] - period, target_t, np.arange(len(target)))
        poses[begin:end], _ = integrate(along(target, np.array([row]))[0], actions[begin:end])
    return poses


def step_period(step_t: np.ndarray, sequence: np.ndarray) -> float:
    """The usual time (s) between executed steps that end at ``step_t`` (S,); UserError when there are too few.

    The last step of a chunk or of a press of the deadman is as short as its end came early: the others tell, where
    there are any.
    """
    steps, together = np.diff(step_t), np.diff(sequence) == 0
    for telling in (together & np.append(together[1:], False), together, np.ones(len(steps), bool)):
        told = steps[telling]
        if len(told):
            return float(told[np.abs(told - np.median(told)) <= 0.5 * np.median(told)].mean())
    raise UserError(f"{len(step_t)} executed steps: too few to be an episode")


def _motion(episode: Episode, start: float) -> tuple[Motion, dict[str, float], float]:
    has_gripper = bool(episode.topics.get(f"/{GRIPPER}"))
    series = episode.several_series([*NEEDED, GRIPPER] if has_gripper else NEEDED)
    measured, target, executed = (series[topic] for topic in NEEDED)
    actions, step_t = executed["executed"].astype(float), executed["t"] - start
    bad = ~np.isfinite(actions).all(axis=1)
    if bad.any():
        raise UserError(f"executed action {int(np.argmax(bad))} is not finite")
    period = step_period(step_t, executed["sequence"])
    integrated = _integrated(actions, step_t, period, target["t"] - start, _poses(target, "tcp"))
    shares = {
        CONTROL.get(int(s), str(s)): float((executed["source"] == s).mean()) for s in np.unique(executed["source"])
    }
    openness = np.full(len(measured["t"]), np.nan)
    if has_gripper:
        openness = np.interp(measured["t"], series[GRIPPER]["t"], series[GRIPPER]["openness"])
    motion = Motion("arm", measured["t"] - start, _poses(measured, "pose"), openness, step_t, actions, integrated)
    return motion, shares, 1.0 / period
