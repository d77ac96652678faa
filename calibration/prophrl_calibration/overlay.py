"""Pictures that show a calibration to people: frames and outlines drawn where it says they are."""

import cv2
import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel

from prophrl_calibration.target import Target

_AXES = ((255, 60, 60), (60, 200, 60), (80, 120, 255))  # x, y, z in RGB


def _to_pixels(points_N3: np.ndarray, T_camera_frame: np.ndarray, camera: CameraModel) -> np.ndarray | None:
    pixels, depth = camera.project(points_N3 @ T_camera_frame[:3, :3].T + T_camera_frame[:3, 3])
    return pixels if (depth > 0.02).all() and np.abs(pixels).max() < 1e4 else None


def _line(image: np.ndarray, a, b, colour, thickness: int = 2) -> None:
    ends = [tuple(int(round(16 * v)) for v in p) for p in (a, b)]
    cv2.line(image, *ends, colour, thickness, cv2.LINE_AA, shift=4)


def draw_axes(
    image: np.ndarray, T_camera_frame: np.ndarray, camera: CameraModel, length: float = 0.08, label: str = ""
) -> None:
    """Draw a frame's axes (x red, y green, z blue) into an RGB picture, in place."""
    points = _to_pixels(np.vstack([np.zeros(3), length * np.eye(3)]), T_camera_frame, camera)
    if points is None:
        return
    for end, colour in zip(points[1:], _AXES):
        _line(image, points[0], end, colour)
    if label:
        where = tuple(int(v) for v in points[0] + [6, 14])
        cv2.putText(image, label, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def draw_outline(
    image: np.ndarray, target: Target, T_camera_target: np.ndarray, camera: CameraModel, colour=(255, 220, 0)
) -> None:
    """Draw the target's outline and inner corners."""
    ring = _to_pixels(target.outline_43, T_camera_target, camera)
    corners = _to_pixels(target.corners_N3, T_camera_target, camera)
    if ring is None or corners is None:
        return
    for a, b in zip(ring, np.roll(ring, -1, axis=0)):
        _line(image, a, b, colour)
    for x, y in corners:
        cv2.circle(image, (int(round(16 * x)), int(round(16 * y))), 40, colour, 1, cv2.LINE_AA, shift=4)


def draw_gripper(
    image: np.ndarray, T_camera_tcp: np.ndarray, camera: CameraModel, stroke: float, colour=(255, 0, 255)
) -> None:
    """Draw a two-finger gripper's skeleton: palm, fingers, pinch centre at the TCP."""
    palm, half = -0.07, stroke / 2
    strokes = [
        [(0, -half, palm), (0, half, palm)], [(0, -half, palm), (0, -half, 0)], [(0, half, palm), (0, half, 0)],
        [(0, 0, palm), (0, 0, palm - 0.05)],
    ]  # fmt: skip
    for ends in strokes:
        points = _to_pixels(np.array(ends, float), T_camera_tcp, camera)
        if points is not None:
            _line(image, *points, colour, 3)


def page(pictures: list[np.ndarray], columns: int = 4, width: int = 480) -> np.ndarray:
    """Pictures of one size side by side, each ``width`` pixels wide."""
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    small = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    return np.vstack([np.hstack(small[i : i + columns]) for i in range(0, len(small), columns)])


def seen(T_base_camera: np.ndarray, T_base_frame: np.ndarray) -> np.ndarray:
    """T_camera_frame."""
    return se3.inverse(T_base_camera) @ T_base_frame
