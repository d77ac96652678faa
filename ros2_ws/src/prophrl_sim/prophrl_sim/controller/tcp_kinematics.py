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
        links = zip(model.a, model.d, model.alpha, strict=True)
        self._links = [(a, d, math.cos(alpha), math.sin(alpha)) for a, d, alpha in links]
        self.set_offset((0.0,) * 6)

    def set_offset(self, offset: Sequence[float]) -> None:
        """Tool offset T_tool0_tcp as a UR vector."""
        self.offset = tuple(float(v) for v in offset)
        self._T_tool0_tcp = se3.pose_from_rotvec(np.array(self.offset))
        self._T_tcp_tool0 = se3.inverse(self._T_tool0_tcp)

    def forward(self, q: np.ndarray, T_tool0_tcp: np.ndarray | None = None) -> np.ndarray:
        """T_base_tcp (4, 4) at joints (6,)."""
        return ur_kinematics.forward(self.model, q) @ (self._T_tool0_tcp if T_tool0_tcp is None else T_tool0_tcp)

    def state(self, q: Sequence[float], qd: Sequence[float]) -> tuple[list[float], list[float]]:
        """TCP pose and twist (both UR-style six numbers, base frame) at joints q, speeds qd.

        Scalar arithmetic: this runs up to twice per 2 ms tick.
        """
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
        x = y = z = 0.0
        axes = []
        for angle, (a, d, ca, sa) in zip(q, self._links, strict=True):
            axes.append((r02, r12, r22, x, y, z))
            c, s = math.cos(angle), math.sin(angle)
            ax, ay = a * c, a * s
            x += r00 * ax + r01 * ay + r02 * d
            y += r10 * ax + r11 * ay + r12 * d
            z += r20 * ax + r21 * ay + r22 * d
            n0, o0 = r00 * c + r01 * s, r01 * c - r00 * s
            n1, o1 = r10 * c + r11 * s, r11 * c - r10 * s
            n2, o2 = r20 * c + r21 * s, r21 * c - r20 * s
            r00, r01, r02 = n0, o0 * ca + r02 * sa, r02 * ca - o0 * sa
            r10, r11, r12 = n1, o1 * ca + r12 * sa, r12 * ca - o1 * sa
            r20, r21, r22 = n2, o2 * ca + r22 * sa, r22 * ca - o2 * sa
        T = np.array([[r00, r01, r02, x], [r10, r11, r12, y], [r20, r21, r22, z], [0.0, 0.0, 0.0, 1.0]])
        pose = pose_vector(T @ self._T_tool0_tcp)
        vx = vy = vz = wx = wy = wz = 0.0
        for speed, (zx, zy, zz, px, py, pz) in zip(qd, axes, strict=True):
            lx, ly, lz = pose[0] - px, pose[1] - py, pose[2] - pz
            vx += speed * (zy * lz - zz * ly)
            vy += speed * (zz * lx - zx * lz)
            vz += speed * (zx * ly - zy * lx)
            wx, wy, wz = wx + speed * zx, wy + speed * zy, wz + speed * zz
        return pose, [vx, vy, vz, wx, wy, wz]

    def joints_for(self, T_base_tcp: np.ndarray, q_near: np.ndarray) -> np.ndarray | None:
        """Joints (6,) nearest to ``q_near`` that put the TCP at the pose; None when out of reach."""
        return ur_kinematics.nearest_inverse(self.model, T_base_tcp @ self._T_tcp_tool0, q_near)

    def joint_speeds(self, q: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """Joint speeds (6,) for a TCP twist (6,) in base; damped near singularities."""
        tcp = self.forward(q)[:3, 3]
        J = ur_kinematics.jacobian(self.model, q, tcp)
        return J.T @ np.linalg.solve(J @ J.T + _DAMPING * np.eye(6), twist)
