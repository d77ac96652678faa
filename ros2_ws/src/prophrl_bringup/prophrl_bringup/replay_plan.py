"""What to replay of an episode: its executed actions on the action rate's own grid, and how near a replay came. Pure.

Executed actions chain to the whole commanded motion, but their lengths in time vary at the seams of chunks. The plan
chains them from the commanded pose at the start, and cuts the motion again into steps of the spec's period.
"""

import dataclasses

import numpy as np
from prophrl_core import action, se3
from prophrl_core.action import ActionSpec
from prophrl_core.cell import CellSpec
from prophrl_core.episode_reader import Episode
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec
from prophrl_core.ur_kinematics import forward

HOME_TOLERANCE_M = 0.01
SAMPLE_S = 0.02
SPEEDS = (0.1, 2.0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Commanded TCP poses (N + 1, 4, 4) in base at every step, openness (N,) during each; ``started`` wall time, s.

    ``T_start`` is the pose that the episode began at, ``seconds`` how long its motion took when it was recorded.
    """

    spec: ActionSpec
    poses_N44: np.ndarray
    openness_N: np.ndarray
    started: float
    seconds: float

    @property
    def steps(self) -> int:
        return len(self.openness_N)

    def chunk(self, first: int, T_anchor: np.ndarray) -> np.ndarray:
        """Actions (T, 7) of the chunk that begins with step ``first``; its first step leads from ``T_anchor``
        (the pose really commanded then) to the plan, so that nothing adds up."""
        last = min(first + self.spec.chunk_steps, self.steps)
        poses = [T_anchor, *self.poses_N44[first + 1 : last + 1]]
        pairs = zip(poses, poses[1:], self.openness_N[first:last], strict=False)
        return np.array([action.delta(a, b, openness) for a, b, openness in pairs])


@dataclasses.dataclass(frozen=True)
class Path:
    """One recorded tool path: (N,) seconds since the first step began, (N, 3) m in base, commanded and measured."""

    commanded_t: np.ndarray
    commanded_N3: np.ndarray
    measured_t: np.ndarray
    measured_N3: np.ndarray
    openness_t: np.ndarray
    openness_N: np.ndarray


@dataclasses.dataclass(frozen=True)
class PathError:
    """Distances in mm of two paths at the same time (N,), and from each replayed point to the nearest recorded one."""

    at_mm: np.ndarray
    nearest_mm: np.ndarray

    @property
    def rms(self) -> float:
        return _rms(self.at_mm)

    @property
    def nearest_rms(self) -> float:
        """Off the path, at whatever time: what a machine that could not keep the pace still gets right."""
        return _rms(self.nearest_mm)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def check_fits(episode: Episode, cell: CellSpec, task: TaskSpec) -> None:
    """UserError when the episode's actions mean something else here."""
    meta, name = episode.meta, episode.folder.name
    pairs = (
        ("task", meta.task, task.name), ("robot", meta.robot, cell.robot.model),
        ("action spec", meta.spec_id or "none", task.action.id),
    )  # fmt: skip
    for what, came, expected in pairs:
        if came != expected:
            raise UserError(f"{name}: expected an episode of {what} {expected}, got {came}; replay it on its own cell")


def make_plan(episode: Episode, cell: CellSpec, spec: ActionSpec, speed: float = 1.0) -> Plan:
    """The episode's executed motion at ``speed`` times its pace; UserError when it cannot be run on this cell."""
    name = episode.folder.name
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise UserError(f"--speed: expected {SPEEDS[0]:g} to {SPEEDS[1]:g}, got {speed:g}")
    ends, actions_ND = _executed(episode)
    started = ends[0] - spec.step_period
    T_start = _pose_at(episode.series("arm/target"), started)
    poses, _ = action.integrate(T_start, actions_ND)
    seconds = ends[-1] - started
    grid = np.arange(0.0, seconds / speed + 0.5 * spec.step_period, spec.step_period) * speed
    poses_N44 = _poses_on(grid, np.append(0.0, ends - started), np.concatenate([T_start[None], poses]))
    middle = 0.5 * (grid[:-1] + grid[1:])
    openness_N = actions_ND[np.minimum(np.searchsorted(ends - started, middle), len(ends) - 1), 6]
    plan = Plan(spec, poses_N44, openness_N, float(started), float(seconds))
    _check_reach(plan, cell, name)
    return plan


def _executed(episode: Episode) -> tuple[np.ndarray, np.ndarray]:
    """End times (N,) s and actions (N, 7) in order of time."""
    name = episode.folder.name
    if not episode.topics.get("/arm/executed_action"):
        raise UserError(f"{name}: expected executed actions to replay, it holds none; nothing moved the arm in it")
    series = episode.series("arm/executed_action")
    actions_ND, ends = np.asarray(series["executed"], float), series["t"]
    mine = np.array([i == episode.meta.episode_id for i in series["episode_id"]])
    if not mine.any() or actions_ND.ndim != 2 or actions_ND.shape[1] != 7 or not np.isfinite(actions_ND).all():
        raise UserError(f"{name}: expected finite executed actions of 7 values, got other ones; it cannot be replayed")
    order = np.argsort(ends[mine], kind="stable")
    ends = ends[mine][order]
    if (np.diff(ends) <= 0).any():
        raise UserError(f"{name}: expected executed steps one after the other, some end together")
    return ends, actions_ND[mine][order]


def _pose_at(target: dict[str, np.ndarray], t: float) -> np.ndarray:
    """The commanded pose (4, 4) nearest to time ``t``."""
    i = int(np.argmin(np.abs(target["t"] - t)))
    quat = np.array([target[f"tcp.orientation.{axis}"][i] for axis in "xyzw"])
    return se3.transform(se3.matrix_from_quat(quat), np.array([target[f"tcp.position.{axis}"][i] for axis in "xyz"]))


def _poses_on(grid: np.ndarray, times: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) at the times of ``grid``, interpolated between waypoints, resting after the last."""
    result = []
    for t in grid:
        i = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2))
        s = np.clip((t - times[i]) / (times[i + 1] - times[i]), 0.0, 1.0)
        result.append(se3.interpolate(poses[i], poses[i + 1], float(s)))
    return np.array(result)


def _check_reach(plan: Plan, cell: CellSpec, name: str) -> None:
    if not (np.isfinite(plan.poses_N44).all() and np.isfinite(plan.openness_N).all()):
        raise UserError(f"{name}: expected a finite path, got one that is not; its arm/target is damaged")
    home = (forward(cell.robot.kinematics, np.array(cell.robot.home)) @ cell.robot.T_tool0_tcp)[:3, 3]
    away = float(np.linalg.norm(plan.poses_N44[0][:3, 3] - home))
    if away > HOME_TOLERANCE_M:
        raise UserError(
            f"{name}: expected an episode that starts at this cell's home, it starts {1e3 * away:.0f} mm away; "
            "use the cell description that it was recorded with"
        )
    p = plan.poses_N44[:, :3, 3]
    low, high = np.array(cell.envelope.workspace_min), np.array(cell.envelope.workspace_max)
    outside = max(0.0, float((low - p).max()), float((p - high).max()))
    if outside > 1e-3:
        raise UserError(f"{name}: expected a path inside the cell's workspace, it leaves it by {1e3 * outside:.0f} mm")
    step = float(np.linalg.norm(np.diff(p, axis=0), axis=1).max(initial=0.0))
    if step > plan.spec.max_translation:
        raise UserError(
            f"{name}: expected steps of at most {1e3 * plan.spec.max_translation:.0f} mm, got {1e3 * step:.0f} mm; "
            "replay it more slowly (--speed)"
        )


def read_path(episode: Episode, started: float) -> Path:
    """The tool path from wall time ``started`` on."""
    target, measured, gripper = (episode.series(t) for t in ("arm/target", "arm/tcp_pose", "gripper/state"))

    def xyz(series: dict[str, np.ndarray], prefix: str) -> np.ndarray:
        return np.stack([series[f"{prefix}.{axis}"] for axis in "xyz"], 1)

    return Path(
        target["t"] - started, xyz(target, "tcp.position"), measured["t"] - started, xyz(measured, "pose.position"),
        gripper["t"] - started, np.asarray(gripper["openness"], float),
    )


def replayed_from(episode: Episode, spec: ActionSpec) -> float:
    """When the first step of a replay began, wall time in s."""
    return float(_executed(episode)[0][0] - spec.step_period)


def compare(recorded_t, recorded_N3, replayed_t, replayed_N3, seconds: float, speed: float) -> PathError:
    """Two paths over the motion's ``seconds`` (as recorded); the replay ran at ``speed`` times the pace."""
    at = np.arange(0.0, seconds, SAMPLE_S)

    def on(times, t, points_N3):
        return np.stack([np.interp(times, t, points_N3[:, i]) for i in range(3)], 1)

    recorded, replayed = on(at, recorded_t, recorded_N3), on(at / speed, replayed_t, replayed_N3)
    apart = np.linalg.norm(recorded[None] - replayed[:, None], axis=2).min(axis=1)
    return PathError(1e3 * np.linalg.norm(recorded - replayed, axis=1), 1e3 * apart)
