"""Pinhole cameras with Brown-Conrady distortion, in the optical frame (x right, y down, z forward)."""

import dataclasses

import numpy as np

from prophrl_core import se3


@dataclasses.dataclass(frozen=True)
class CameraModel:
    """Intrinsics in pixels; ``distortion`` is k1, k2, p1, p2, k3 as in sensor_msgs/CameraInfo plumb_bob."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def K(self) -> np.ndarray:
        """Camera matrix (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def scaled(self, width: int, height: int) -> "CameraModel":
        """The same camera after resizing its image to width x height (pixel centres at integers)."""
        sx, sy = width / self.width, height / self.height
        return dataclasses.replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5, cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> "CameraModel":
        """The same camera after cutting width x height pixels out of its image, from column x and row y on."""
        return dataclasses.replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)

    def project(self, points_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and depth (..., m) of points (..., 3) in the optical frame.

        Points at or behind the camera give NaN pixels and their non-positive depth.
        """
        p = np.asarray(points_camera, dtype=float)
        z = p[..., 2]
        safe = np.where(z > 1e-9, z, np.nan)
        x, y = p[..., 0] / safe, p[..., 1] / safe
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([self.fx * xd + self.cx, self.fy * yd + self.cy], -1), z

    def back_project(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Points (..., 3) in the optical frame of pixels (..., 2) at depth (..., m); undistorts by iteration."""
        u = np.asarray(pixels, dtype=float)
        xd, yd = (u[..., 0] - self.cx) / self.fx, (u[..., 1] - self.cy) / self.fy
        k1, k2, p1, p2, k3 = self.distortion
        x, y = xd, yd
        if any(self.distortion):
            for _ in range(20):
                r2 = x * x + y * y
                radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
                dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
                dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
                x, y = (xd - dx) / radial, (yd - dy) / radial
        depth = np.asarray(depth, dtype=float)
        return np.stack([x * depth, y * depth, depth * np.ones_like(x)], -1)


def look_at(eye: np.ndarray, target: np.ndarray, up=(0.0, 0.0, 1.0)) -> np.ndarray:
    """Pose T_base_camera (4, 4) of an optical frame at ``eye`` looking at ``target``, image up along ``up``."""
    eye, target = np.asarray(eye, dtype=float), np.asarray(target, dtype=float)
    z = target - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, np.asarray(up, dtype=float))
    x /= np.linalg.norm(x)
    return se3.transform(np.stack([x, np.cross(z, x), z], axis=1), eye)
