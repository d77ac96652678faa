"""Keeps a commanded motion inside position, speed and acceleration bounds, one servo cycle at a time.

Pure. A reference that respects the bounds passes through unchanged; one that does not is followed as
closely as they allow, braking in time for the walls of the box. Frames: ``base``; m, rad, s.
"""

import dataclasses
import math

import numpy as np
from prophrl_core import se3

_EXACT = 1e-9
_LIMIT_BRAKING = 0.7  # of the joint accelerations, when braking for joint limits


@dataclasses.dataclass(frozen=True)
class Clamp:
    """One bound that was met: what was asked and what is allowed, in ``unit``."""

    limit: str
    value: float
    bound: float
    unit: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class CartesianBounds:
    """Bounds on the commanded TCP. ``box`` (2, 3): lowest and highest position; tilt against straight down."""

    box: np.ndarray
    max_tilt: float
    speed: float
    acceleration: float
    angular_speed: float
    angular_acceleration: float


class CartesianLimiter:
    """Follows target poses with a commanded pose ``T`` that keeps to ``bounds``.

    The box holds for every output, given that the start is inside; from a start outside, no output is further out
    than the one before, and nothing moves that was not asked to. The norm of the change of velocity per second
    stays within ``acceleration``.
    """

    def __init__(self, bounds: CartesianBounds, T: np.ndarray):
        self._bounds = bounds
        self.reset(T)

    def reset(self, T: np.ndarray) -> None:
        """Continue from rest at pose ``T`` (4, 4)."""
        self.T = self._before = np.array(T, dtype=float)
        self._v, self._w = np.zeros(3), np.zeros(3)
        self._target = self.T

    @property
    def velocity(self) -> tuple[np.ndarray, np.ndarray]:
        """Linear and angular velocity (3,), (3,) of the output."""
        return self._v, self._w

    def carry_on(self, T_before: np.ndarray, T: np.ndarray, dt: float) -> None:
        """Continue at pose ``T`` (4, 4) in a motion that came from ``T_before`` in ``dt`` seconds."""
        self.reset(T_before)
        self.place(T, dt)

    def place(self, T: np.ndarray, dt: float) -> None:
        """The last output came out as ``T`` (4, 4) instead, because something downstream was limited."""
        self._v = (T[:3, 3] - self._before[:3, 3]) / dt
        self._w = small_rotvec(T[:3, :3] @ self._before[:3, :3].T) / dt
        self.T = T

    def step(self, T_target: np.ndarray, dt: float) -> tuple[np.ndarray, list[Clamp]]:
        """The next commanded pose (4, 4) towards ``T_target`` after ``dt`` seconds, and what was clamped."""
        b, clamps = self._bounds, []
        target = self._into_box_and_cone(T_target, clamps)
        R, R_target = self.T[:3, :3], target[:3, :3]
        v, _ = _follow(
            target[:3, 3] - self.T[:3, 3],
            target[:3, 3] - self._target[:3, 3],
            self._v,
            b.speed,
            b.acceleration,
            dt,
            "tcp_speed",
            "tcp_acceleration",
            "m",
            clamps,
        )
        w, exact = _follow(
            small_rotvec(R_target @ R.T),
            small_rotvec(R_target @ self._target[:3, :3].T),
            self._w,
            b.angular_speed,
            b.angular_acceleration,
            dt,
            "tcp_turn",
            "tcp_turn_acceleration",
            "rad",
            clamps,
        )
        self._v = self._brake_for_walls(v, dt)
        out = np.eye(4)
        out[:3, 3] = self.T[:3, 3] + self._v * dt
        out[:3, :3], _ = into_cone(R_target if exact else se3.rotvec_to_matrix(w * dt) @ R, self._max_tilt())
        self._w = w if exact else small_rotvec(out[:3, :3] @ R.T) / dt
        self._before, self.T, self._target = self.T, out, target
        return out, clamps

    def _into_box_and_cone(self, T: np.ndarray, clamps: list[Clamp]) -> np.ndarray:
        (low, high), max_tilt = self._box(), self._max_tilt()
        out = np.array(T, dtype=float)
        out[:3, 3] = np.minimum(np.maximum(out[:3, 3], low), high)
        outside = float(np.max(np.abs(out[:3, 3] - T[:3, 3])))
        if outside > _EXACT:
            clamps.append(Clamp("workspace", outside, 0.0, "m"))
        out[:3, :3], tilt = into_cone(out[:3, :3], max_tilt)
        if tilt > max_tilt + 1e-6:
            clamps.append(Clamp("tilt", tilt, max_tilt, "rad"))
        return out

    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        """The box (lowest, highest), widened to where the output is now."""
        low, high = self._bounds.box
        return np.minimum(low, self.T[:3, 3]), np.maximum(high, self.T[:3, 3])

    def _max_tilt(self) -> float:
        """The largest tilt (rad), or the output's own where that is more."""
        return max(self._bounds.max_tilt, tilt_of(self.T[:3, :3]))

    def _brake_for_walls(self, v: np.ndarray, dt: float) -> np.ndarray:
        low, high = self._box()
        p, a = self.T[:3, 3], 0.4 * self._bounds.acceleration
        down, up = np.maximum(p - low, 0.0), np.maximum(high - p, 0.0)
        return np.minimum(np.maximum(v, -stopping_speed(down, a, dt)), stopping_speed(up, a, dt))


class JointLimiter:
    """Follows a reference with commanded joints ``q`` moving at ``qd``; every bound is per joint, (6,).

    A step that is too fast or too sudden is scaled as a whole, so that the arm stays on its path and only
    slows down; where no scale will do, it brakes. ``low``/``high`` rad contain the margin to the robot's own.
    """

    def __init__(self, low, high, speed, acceleration, q: np.ndarray):
        self._low, self._high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        self._speed, self._acceleration = np.asarray(speed, dtype=float), np.asarray(acceleration, dtype=float)
        self.reset(q)

    def reset(self, q: np.ndarray) -> None:
        """Continue from rest at ``q`` (6,) rad."""
        self.q, self.qd = np.array(q, dtype=float), np.zeros(6)

    def step(self, q_target: np.ndarray, dt: float) -> tuple[np.ndarray, list[Clamp]]:
        """The next commanded joints (6,): ``q_target``, or as far on the way to it as ``dt`` allows."""
        clamps: list[Clamp] = []
        target = np.minimum(np.maximum(q_target, self._low), self._high)
        outside = float(np.max(np.abs(target - q_target)))
        if outside > _EXACT:
            clamps.append(Clamp("joint_limit", outside, 0.0, "rad"))
        wanted, most = (target - self.q) / dt, self._acceleration * dt
        fast, sudden = np.abs(wanted) / self._speed, np.abs(wanted - self.qd) / most
        near = self._braking_for_limits(wanted, most)
        if max(fast.max(), sudden.max()) <= 1.0 + 1e-6 and near >= 1.0:
            self.qd, self.q = wanted, target
            return target, clamps
        if fast.max() > 1.0:
            clamps.append(_worst("joint_speed", fast, self._speed, "rad/s"))
        elif sudden.max() > 1.0:
            clamps.append(_worst("joint_acceleration", sudden, self._acceleration, "rad/s2"))
        scale = self._scale(wanted, min(near, 1.0 / max(1.0, float(fast.max()))), most)
        if scale is None:
            return self.brake(dt), clamps
        self.qd = wanted * scale
        self.q = np.minimum(np.maximum(self.q + self.qd * dt, self._low), self._high)
        return self.q, clamps

    def _braking_for_limits(self, wanted: np.ndarray, most: np.ndarray) -> float:
        """The largest scale of ``wanted`` from which the whole arm can brake before a joint reaches its limit.

        All joints slow down together, in the time of the fastest. A joint so slow that it may stop within a cycle
        needs no room.
        """
        speed = np.abs(wanted)
        room = np.where(wanted > 0.0, self._high - self.q, self.q - self._low)
        seconds = float(np.max(speed / self._acceleration)) / _LIMIT_BRAKING
        scales = np.sqrt(2.0 * np.maximum(room, 0.0) / np.maximum(speed * seconds, 1e-12))
        return float(np.min(np.where(speed > most, scales, np.inf)))

    def _scale(self, wanted: np.ndarray, at_most: float, most: np.ndarray) -> float | None:
        """The scale nearest to ``at_most`` with which no joint's speed changes by more than ``most``, or None."""
        still = np.abs(wanted) < _EXACT
        if (still & (np.abs(self.qd) > most)).any():
            return None  # no scale slows down a joint that is wanted to stand
        size = np.maximum(np.abs(wanted), 1e-12)
        along = self.qd * np.sign(wanted)
        low, high = float(np.max((along - most) / size)), float(np.min((along + most) / size))
        scale = min(max(at_most, low), high)
        possible = low <= high and np.all(np.abs(wanted) * abs(scale) <= self._speed * (1 + 1e-6))
        return scale if possible else None

    def brake(self, dt: float) -> np.ndarray:
        """The next commanded joints when slowing down along the present motion, as fast as is allowed."""
        ratio = float(np.max(np.abs(self.qd) / (self._acceleration * dt)))
        self.qd = self.qd * (1.0 - 1.0 / ratio) if ratio > 1.0 else np.zeros(6)
        self.q = np.minimum(np.maximum(self.q + self.qd * dt, self._low), self._high)
        return self.q


def _worst(limit: str, ratio: np.ndarray, bound: np.ndarray, unit: str) -> Clamp:
    joint = int(np.argmax(ratio))
    return Clamp(limit, float(ratio[joint] * bound[joint]), float(bound[joint]), unit, f"joint {joint + 1}")


def tilt_of(R: np.ndarray) -> float:
    """Angle (rad) between the z axis of ``R`` (3, 3) and straight down."""
    return math.atan2(math.hypot(R[0, 2], R[1, 2]), -R[2, 2])


def into_cone(R: np.ndarray, max_tilt: float) -> tuple[np.ndarray, float]:
    """``R`` (3, 3) turned back, the short way, until its z axis is within ``max_tilt`` of straight down.

    Also returns the tilt (rad) before.
    """
    x, y, z = float(R[0, 2]), float(R[1, 2]), float(R[2, 2])
    side = math.hypot(x, y)
    tilt = math.atan2(side, -z)
    if tilt <= max_tilt:
        return R, tilt
    axis = np.array([-y, x, 0.0]) / side if side > _EXACT else np.array([1.0, 0.0, 0.0])
    return se3.rotvec_to_matrix(axis * (tilt - max_tilt)) @ R, tilt


def small_rotvec(R: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) of ``R`` (3, 3); quick where the angle is below pi."""
    x, y, z = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    s, c = 0.5 * math.sqrt(x * x + y * y + z * z), 0.5 * (R[0, 0] + R[1, 1] + R[2, 2] - 1.0)
    if s > 1e-7:
        factor = 0.5 * math.atan2(s, c) / s
        return np.array([x * factor, y * factor, z * factor])
    return np.array([0.5 * x, 0.5 * y, 0.5 * z]) if c > 0 else se3.matrix_to_rotvec(R)


def stopping_speed(distance: np.ndarray, acceleration: np.ndarray | float, dt: float) -> np.ndarray:
    """Highest speed from which ``distance`` is enough to stop, losing ``acceleration * dt`` every cycle."""
    cycles = np.maximum(np.ceil(0.5 * np.sqrt(1.0 + 8.0 * distance / (acceleration * dt * dt)) - 0.5), 1.0)
    return distance / (cycles * dt) + 0.5 * acceleration * dt * (cycles - 1.0)


def _follow(error, moved, v, speed, acceleration, dt, name_speed, name_acceleration, unit, clamps):
    """Velocity (3,) that makes up ``error`` (3,) this cycle, or what the bounds leave of it; and whether it is exact.

    ``moved`` (3,) is how far the target itself went in this cycle, ``v`` the velocity so far.
    """
    wanted = error / dt
    fast, sudden = math.sqrt(wanted @ wanted), wanted - v
    change = math.sqrt(sudden @ sudden) / dt
    if fast <= speed * (1 + 1e-6) and change <= acceleration * (1 + 1e-6):
        return wanted, True
    reference = math.sqrt(moved @ moved) / dt
    if reference > speed:
        clamps.append(Clamp(name_speed, reference, speed, unit + "/s"))
    else:
        clamps.append(Clamp(name_acceleration, change, acceleration, unit + "/s2"))
    within = 0.7 * acceleration
    lag = error - moved
    distance = math.sqrt(lag @ lag)
    goal = moved / dt
    if distance > _EXACT:
        goal = goal + lag * (min(float(stopping_speed(distance, within, dt)), distance / dt) / distance)
    size = math.sqrt(goal @ goal)
    if size > speed:
        goal = goal * (speed / size)
    sudden = goal - v
    change = math.sqrt(sudden @ sudden)
    if change > within * dt:
        sudden = sudden * (within * dt / change)
    return v + sudden, False
