"""Chunks of actions on a measured time base: what the arm should be doing at time t.

A chunk is anchored at the pose commanded when its observation was taken. Steps that are already past
are dropped, the seam to the previous motion is blended with matching position and velocity, and after
the last step the target rests. Pure: used alike by the arm process and by the fast simulation.
"""

import dataclasses
import math

import numpy as np

from prophrl_core import action, se3


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Actions (T, 7) planned from an observation taken at ``observation_time`` (s, the executor's clock)."""

    actions_TD: np.ndarray
    step_period: float
    observation_time: float
    sequence: int = 0
    source: int = 0


@dataclasses.dataclass(frozen=True)
class Setpoint:
    """Target at one instant; ``step`` is -1 when no chunk is in force (the target rests)."""

    T: np.ndarray
    openness: float
    sequence: int
    step: int


class _Trajectory:
    """Cubic Hermite poses through uniformly spaced waypoints; rests before the first and after the last."""

    def __init__(self, start: float, period: float, poses: np.ndarray, from_rest: bool):
        self.start, self.period, self.poses = start, period, poses
        n = len(poses) - 1
        p = poses[:, :3, 3]
        R = poses[:, :3, :3]
        forward = se3.matrix_to_rotvec(np.swapaxes(R[:-1], -1, -2) @ R[1:])
        tangent_p = np.zeros((n + 1, 3))
        tangent_r = np.zeros((n + 1, 3))
        if n > 1:
            tangent_p[1:-1] = (p[2:] - p[:-2]) / 2
            tangent_r[1:-1] = (forward[1:] + forward[:-1]) / 2
        if not from_rest:
            tangent_p[0], tangent_r[0] = p[1] - p[0], forward[0]
        self._forward, self._tangent_p, self._tangent_r = forward, tangent_p, tangent_r

    def step(self, t: float) -> int:
        """Index of the step under way at ``t``, -1 before the first or after the last."""
        i = math.floor((t - self.start) / self.period + 1e-9)
        return i if 0 <= i < len(self.poses) - 1 else -1

    def pose(self, t: float) -> np.ndarray:
        x = (t - self.start) / self.period
        if x <= 0.0:
            return self.poses[0]
        i = int(x)
        if i >= len(self.poses) - 1:
            return self.poses[-1]
        s = x - i
        s2, s3 = s * s, s * s * s
        h10, h01, h11 = s3 - 2 * s2 + s, 3 * s2 - 2 * s3, s3 - s2
        a = self.poses[i]
        position = (
            a[:3, 3]
            + h01 * (self.poses[i + 1, :3, 3] - a[:3, 3])
            + h10 * self._tangent_p[i]
            + h11 * self._tangent_p[i + 1]
        )
        rotvec = h01 * self._forward[i] + h10 * self._tangent_r[i] + h11 * self._tangent_r[i + 1]
        return se3.transform(a[:3, :3] @ se3.rotvec_to_matrix(rotvec), position)


class ChunkSchedule:
    """The reference motion of one arm.

    ``blend`` is the time (s) over which a new chunk takes over from the motion it interrupts.
    """

    def __init__(self, T: np.ndarray, openness: float, blend: float = 0.15):
        self._blend = blend
        self.hold(T, openness)

    def hold(self, T: np.ndarray, openness: float) -> None:
        """Drop all chunks and rest at ``T``."""
        self._rest, self._openness = np.array(T, dtype=float), float(openness)
        self._trajectory: _Trajectory | None = None
        self._chunk: Chunk | None = None
        self._seam = None

    @property
    def chunk(self) -> Chunk | None:
        """The chunk in force, None while resting."""
        return self._chunk

    def end_time(self) -> float | None:
        """When the chunk in force runs out, None while resting."""
        if self._trajectory is None:
            return None
        return self._trajectory.start + (len(self._trajectory.poses) - 1) * self._trajectory.period

    def accept(self, chunk: Chunk, now: float, T_anchor: np.ndarray, from_rest: bool) -> int:
        """Put ``chunk`` in force at ``now``; returns how many of its first steps are already past.

        ``T_anchor`` (4, 4) is the pose commanded at the observation. ``from_rest``: the target has not
        moved since then, so the chunk starts now, at step 0. A chunk that is wholly past is not taken
        (returns its length).
        """
        start = now if from_rest else chunk.observation_time
        steps = len(chunk.actions_TD)
        if now >= start + steps * chunk.step_period:
            return steps
        poses, _ = action.integrate(T_anchor, chunk.actions_TD)
        new = _Trajectory(start, chunk.step_period, np.concatenate([T_anchor[None], poses]), from_rest)
        h = 1e-3
        offset, before = self._offset(new, now), self._offset(new, now - h)
        self._seam = (now, offset, (offset - before) / h * self._blend)
        self._openness = self.setpoint(now).openness
        self._trajectory, self._chunk = new, chunk
        return max(0, new.step(now))

    def _offset(self, new: _Trajectory, t: float) -> np.ndarray:
        """Present output minus ``new`` at ``t``: position in base (3), rotation vector in new's frame (3)."""
        current, target = self.setpoint(t).T, new.pose(t)
        rotvec = se3.matrix_to_rotvec(target[:3, :3].T @ current[:3, :3])
        return np.concatenate([current[:3, 3] - target[:3, 3], rotvec])

    def setpoint(self, t: float) -> Setpoint:
        """Target at time ``t`` (s)."""
        if self._trajectory is None:
            return Setpoint(self._rest, self._openness, -1, -1)
        T = self._trajectory.pose(t)
        since, offset, slope = self._seam
        s = (t - since) / self._blend
        if s < 1.0:
            left = offset * (2 * s**3 - 3 * s**2 + 1) + slope * (s**3 - 2 * s**2 + s)
            T = se3.transform(T[:3, :3] @ se3.rotvec_to_matrix(left[3:]), T[:3, 3] + left[:3])
        step = self._trajectory.step(t)
        if step >= 0:
            openness = float(self._chunk.actions_TD[step, 6])
        elif t >= self._trajectory.start:
            openness = float(self._chunk.actions_TD[-1, 6])
        else:
            openness = self._openness
        return Setpoint(T, openness, self._chunk.sequence, step)
