"""Velocity commands of an operator: what may be asked, and the pose that comes next.

Pure. A twist is (6,): linear m/s, then angular rad/s about the TCP, in the axes of the base or of the tool.
"""

import dataclasses
import math

import numpy as np
from prophrl_core import se3
from prophrl_core.action import ActionSpec

from prophrl_cell.arm.limiter import CartesianBounds, Clamp, stopping_speed

BASE, TOOL = 0, 1  # TeleopCommand.FRAME_*
_RAMP = 0.7  # of the envelope's acceleration, so that the ramp itself is never clamped
_TILT_BRAKE = 0.4  # of the envelope's angular acceleration, near the limit of the tilt


@dataclasses.dataclass(frozen=True)
class Jog:
    """What the operator wants now; ``since`` is when it was asked (s), ``openness`` NaN when it is to stay."""

    twist: np.ndarray
    frame: int
    openness: float
    since: float


def check(jog: Jog, action: ActionSpec) -> Clamp | None:
    """The reason to refuse a command: it is no number, or more than the steps of ``action`` can say."""
    if not np.isfinite(jog.twist).all():
        count = int(6 - np.isfinite(jog.twist).sum())
        return Clamp("finite", count, 0.0, "values", f"{count} of the twist's 6 values are not finite")
    if jog.frame not in (BASE, TOOL):
        return Clamp("frame", jog.frame, TOOL, "", "expected the frame of the twist to be base (0) or tool (1)")
    if math.isinf(jog.openness) or not (math.isnan(jog.openness) or -0.1 <= jog.openness <= 1.1):
        return Clamp("openness", jog.openness, 0.0 if jog.openness < 0.0 else 1.0, "", "outside 0 to 1")
    fast, most = float(np.linalg.norm(jog.twist[:3])), action.max_translation / action.step_period
    if fast > most * (1 + 1e-6):
        return Clamp("twist_magnitude", fast, most, "m/s", "the twist is faster than any action may be")
    turn, most = float(np.linalg.norm(jog.twist[3:])), action.max_rotation / action.step_period
    if turn > most * (1 + 1e-6):
        return Clamp("twist_magnitude", turn, most, "rad/s", "the twist turns faster than any action may")
    return None


def in_base(jog: Jog, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear and angular velocity (3,), (3,) in base axes for a tool at orientation ``R`` (3, 3)."""
    v, w = jog.twist[:3], jog.twist[3:]
    return (R @ v, R @ w) if jog.frame == TOOL else (v, w)


def within_speed(v: np.ndarray, w: np.ndarray, bounds: CartesianBounds) -> tuple[np.ndarray, np.ndarray, list[Clamp]]:
    """Both velocities scaled back to the envelope's speeds, and what was clamped."""
    clamps = []
    fast, turn = math.sqrt(v @ v), math.sqrt(w @ w)
    if fast > bounds.speed:
        v = v * (bounds.speed / fast)
        clamps.append(Clamp("tcp_speed", fast, bounds.speed, "m/s"))
    if turn > bounds.angular_speed:
        w = w * (bounds.angular_speed / turn)
        clamps.append(Clamp("tcp_turn", turn, bounds.angular_speed, "rad/s"))
    return v, w, clamps


def ramped(now: np.ndarray, wanted: np.ndarray, acceleration: float, dt: float) -> np.ndarray:
    """Velocity (3,) after ``dt`` seconds on the way from ``now`` to ``wanted``."""
    change, most = wanted - now, _RAMP * acceleration * dt
    size = math.sqrt(change @ change)
    return wanted if size <= most else now + change * (most / size)


def braked_for_tilt(
    w: np.ndarray, R: np.ndarray, bounds: CartesianBounds, dt: float
) -> tuple[np.ndarray, list[Clamp]]:
    """Angular velocity (3,) from which a tool at ``R`` (3, 3) can stop at the largest tilt, and what was clamped."""
    x, y, z = float(R[0, 2]), float(R[1, 2]), float(R[2, 2])
    side = math.hypot(x, y)
    if side < 1e-6:
        return w, []
    outwards, tilt = np.array([y, -x, 0.0]) / side, math.atan2(side, -z)
    left = max(0.0, bounds.max_tilt - tilt)
    excess = float(w @ outwards - stopping_speed(left, _TILT_BRAKE * bounds.angular_acceleration, dt))
    if excess <= 0.0:
        return w, []
    return w - excess * outwards, [Clamp("tilt", tilt, bounds.max_tilt, "rad")]


def advanced(T: np.ndarray, v: np.ndarray, w: np.ndarray, dt: float) -> np.ndarray:
    """Pose (4, 4) after moving for ``dt`` seconds at ``v`` and ``w`` (3,) in base axes."""
    return se3.transform(se3.rotvec_to_matrix(w * dt) @ T[:3, :3], T[:3, 3] + v * dt)
