"""Forward and closed-form inverse kinematics of UR arms (standard DH, base to tool0).

The inverse follows the usual geometric decomposition for a wrist with three parallel axes:
joint 1 from the wrist centre, 5 and 6 from the tool's orientation, then a planar 2R arm for 2 and 3.
"""

import math

import numpy as np

from prophrl_core.ur_models import JOINT_NAMES, UR_MODELS, URModel

__all__ = ["JOINT_NAMES", "UR_MODELS", "URModel", "forward", "inverse", "jacobian", "link_frames", "nearest_inverse"]

_SINGULAR = 1e-7  # rad
_STRETCHED = 1e-7  # rounding of cos q3 beyond 1 that is still the stretched arm; 0.1 um of reach


def _dh(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    c, s, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
    return np.array(
        [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0.0, sa, ca, d], [0.0, 0.0, 0.0, 1.0]]
    )


def _dh_inverse(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    c, s, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
    return np.array(
        [[c, s, 0.0, -a], [-s * ca, c * ca, sa, -d * sa], [s * sa, -c * sa, ca, -d * ca], [0.0, 0.0, 0.0, 1.0]]
    )


def link_frames(model: URModel, q: np.ndarray) -> np.ndarray:
    """Poses (7, 4, 4) in base of DH frames 0..6 at joints ``q`` (6,); the last is tool0."""
    frames = np.empty((7, 4, 4))
    frames[0] = np.eye(4)
    for i in range(6):
        frames[i + 1] = frames[i] @ _dh(model.a[i], model.d[i], model.alpha[i], float(q[i]))
    return frames


def forward(model: URModel, q: np.ndarray) -> np.ndarray:
    """Pose T_base_tool0 (4, 4) at joints ``q`` (6,) rad."""
    return link_frames(model, q)[6]


def jacobian(model: URModel, q: np.ndarray, point: np.ndarray | None = None) -> np.ndarray:
    """Geometric Jacobian (6, 6) in base: linear then angular velocity of ``point`` (3,) (default tool0's origin)."""
    frames = link_frames(model, q)
    target = frames[6, :3, 3] if point is None else np.asarray(point, dtype=float)
    axes, origins = frames[:6, :3, 2], frames[:6, :3, 3]
    return np.vstack([np.cross(axes, target - origins).T, axes.T])


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def inverse(model: URModel, T_base_tool0: np.ndarray, q6_if_free: float = 0.0) -> np.ndarray:
    """All joint solutions (n, 6) in [-pi, pi) of pose (4, 4); n is 0 to 8.

    At a wrist singularity (joint 5 at 0 or pi) joint 6 is free and set to ``q6_if_free``.
    """
    T = np.asarray(T_base_tool0, dtype=float)
    d1, d4, d5, d6 = model.d[0], model.d[3], model.d[4], model.d[5]
    a2, a3 = model.a[1], model.a[2]
    nx, ny = T[0, 0], T[1, 0]
    ox, oy = T[0, 1], T[1, 1]
    px, py = T[0, 3], T[1, 3]
    wx, wy = px - d6 * T[0, 2], py - d6 * T[1, 2]
    radius = math.hypot(wx, wy)
    if radius < abs(d4):
        return np.empty((0, 6))
    base, swing = math.atan2(wy, wx) + math.pi / 2, math.acos(d4 / radius)
    solutions = []
    for q1 in (base + swing, base - swing):
        s1, c1 = math.sin(q1), math.cos(q1)
        T_1_6 = _dh_inverse(0.0, d1, model.alpha[0], q1) @ T
        # The two components of joint 6's direction have the length |sin q5|: near 0 far more exact than an arc cosine.
        along, across = nx * s1 - ny * c1, -ox * s1 + oy * c1
        q5_abs = math.atan2(math.hypot(along, across), T[0, 2] * s1 - T[1, 2] * c1)
        for q5 in (q5_abs, -q5_abs) if q5_abs > _SINGULAR else (q5_abs,):
            side = math.copysign(1.0, q5)
            q6 = math.atan2(side * across, side * along) if math.sin(q5_abs) > _SINGULAR else q6_if_free
            T_1_4 = T_1_6 @ _dh_inverse(0.0, d6, model.alpha[5], q6) @ _dh_inverse(0.0, d5, model.alpha[4], q5)
            x, y = float(T_1_4[0, 3]), float(T_1_4[1, 3])
            total = math.atan2(T_1_4[1, 0], T_1_4[0, 0])
            c3 = (x * x + y * y - a2 * a2 - a3 * a3) / (2 * a2 * a3)
            if abs(c3) > 1.0 + _STRETCHED:
                continue
            q3_abs = math.acos(max(-1.0, min(1.0, c3)))
            for q3 in (q3_abs, -q3_abs) if q3_abs > _SINGULAR else (q3_abs,):
                q2 = math.atan2(y, x) - math.atan2(a3 * math.sin(q3), a2 + a3 * math.cos(q3))
                solutions.append([_wrap(v) for v in (q1, q2, q3, total - q2 - q3, q5, q6)])
    return np.array(solutions) if solutions else np.empty((0, 6))


def nearest_inverse(model: URModel, T_base_tool0: np.ndarray, q_ref: np.ndarray) -> np.ndarray | None:
    """The solution (6,) nearest to ``q_ref`` (largest joint difference), unwound to its turn and inside the
    joint limits; None when the pose cannot be reached."""
    q_ref = np.asarray(q_ref, dtype=float)
    candidates = inverse(model, T_base_tool0, q6_if_free=float(q_ref[5]))
    if not len(candidates):
        return None
    turns = np.round((q_ref - candidates) / (2 * math.pi)) * (2 * math.pi)
    candidates = candidates + turns
    low, high = model.position_limits
    inside = np.all((candidates >= low) & (candidates <= high), axis=1)
    if not inside.any():
        return None
    candidates = candidates[inside]
    return candidates[np.argmin(np.max(np.abs(candidates - q_ref), axis=1))]
