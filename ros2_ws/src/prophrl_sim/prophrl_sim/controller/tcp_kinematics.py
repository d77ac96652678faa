"""The controller's own kinematics: TCP pose, twist and joint solutions at 500 Hz in scalar arithmetic.

Poses travel as UR vectors (x, y, z, rx, ry, rz), metres and rotation vector, in the base frame.
"""

import math
from collections.abc import Sequence

import numpy as np

from prophrl_core import se3, ur_kinematics
from prophrl_core.ur_models import URModel

_DAMPING = 1e-4


def pose_vector(T: np.ndarray) -> list[float]:
    """UR vector of a pose (4, 4); the scalar twin of ``se3.pose_to_rotvec``."""
    (r00, r01, r02, x), (r10, r11, r12, y), (r20, r21, r22, z) = T[:3].tolist()
    trace = r00 + r11 + r22
    vx, vy, vz = r21 - r12, r02 - r20, r10 - r01
    sine2 = math.sqrt(vx * vx + vy * vy + vz * vz)
    if sine2 < 1e-6:
        if trace > 0.0:
            return [x, y, z, 0.5 * vx, 0.5 * vy, 0.5 * vz]
        return [x, y, z, *se3.matrix_to_rotvec(T[:3, :3]).tolist()]
    factor = math.atan2(sine2, trace - 1.0) / sine2
    return [x, y, z, vx * factor, vy * factor, vz * factor]


class TcpKinematics:
    """Kinematics of one arm with the active tool offset."""

    def __init__(self, model: URModel):
        self.model = model
        self.set_offset((0.0,) * 6)

    def set_offset(self, offset: Sequence[float]) -> None:
        """Tool offset T_tool0_tcp as a UR vector."""
        self.offset = tuple(float(v) for v in offset)
        self._T_tool0_tcp = se3.pose_from_rotvec(np.array(self.offset))
        self._T_tcp_tool0 = se3.inverse(self._T_tool0_tcp)

    def forward(self, q: np.ndarray, T_tool0_tcp: np.ndarray | None = None) -> np.ndarray:
        """T_base_tcp (4, 4) at joints (6,)."""
        return ur_kinematics.forward(self.model, q) @ (self._T_tool0_tcp if T_tool0_tcp is None else T_tool0_tcp)

    def state(self, q: np.ndarray, qd: np.ndarray) -> tuple[list[float], list[float]]:
        """TCP pose and twist (both UR-style six numbers, base frame) at joints q, speeds qd."""
        frames = ur_kinematics.link_frames(self.model, q)
        T = frames[6] @ self._T_tool0_tcp
        rates = frames[:6, :3, 2] * qd[:, None]
        omega = rates.sum(axis=0)
        arms = T[:3, 3] - frames[:6, :3, 3]
        x = rates[:, 1] @ arms[:, 2] - rates[:, 2] @ arms[:, 1]
        y = rates[:, 2] @ arms[:, 0] - rates[:, 0] @ arms[:, 2]
        z = rates[:, 0] @ arms[:, 1] - rates[:, 1] @ arms[:, 0]
        return pose_vector(T), [float(x), float(y), float(z), *omega.tolist()]

    def joints_for(self, T_base_tcp: np.ndarray, q_near: np.ndarray) -> np.ndarray | None:
        """Joints (6,) nearest to ``q_near`` that put the TCP at the pose; None when out of reach."""
        return ur_kinematics.nearest_inverse(self.model, T_base_tcp @ self._T_tcp_tool0, q_near)

    def joint_speeds(self, q: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """Joint speeds (6,) for a TCP twist (6,) in base; damped near singularities."""
        tcp = self.forward(q)[:3, 3]
        J = ur_kinematics.jacobian(self.model, q, tcp)
        return J.T @ np.linalg.solve(J @ J.T + _DAMPING * np.eye(6), twist)
