"""Pictures of a target as a camera would take them: perspective, pixel areas, blur, light, sensor noise."""

import dataclasses

import cv2
import numpy as np
from prophrl_core.camera import CameraModel

from prophrl_calibration.target import Target

_FINER = 4  # sub-pixels per pixel and axis
_TEXELS = 96  # per square
_MARGIN = 0.6  # squares of white around the board


@dataclasses.dataclass(frozen=True)
class Sensor:
    """``noise``: standard deviation in grey levels; ``blur``: of the lens, in pixels."""

    noise: float = 3.0
    blur: float = 0.0


def photograph(
    target: Target, T_camera_target: np.ndarray, camera: CameraModel, sensor: Sensor, rng: np.random.Generator
) -> np.ndarray:
    """Grey picture (H, W) uint8 of the board in front of a plain, unevenly lit wall. Lenses without distortion only."""
    if any(camera.distortion):
        raise ValueError("drawing knows no distortion")
    fine = camera.scaled(_FINER * camera.width, _FINER * camera.height)
    margin = _MARGIN * target.square
    corners = target.outline_43 + margin * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    pixels, depth = camera.project(corners @ T_camera_target[:3, :3].T + T_camera_target[:3, 3])
    wall = 110.0 + 20.0 * rng.uniform(-1, 1)
    picture = np.full((camera.height, camera.width), wall, np.float32)
    if (depth > 0.05).all():
        _paste_board(picture, target, T_camera_target, fine, pixels)
    y, x = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    light = 1 + 0.15 * (rng.uniform(-1, 1) * (x / camera.width - 0.5) + rng.uniform(-1, 1) * (y / camera.height - 0.5))
    picture *= light
    if sensor.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), sensor.blur)
    if sensor.noise:
        picture = picture + rng.normal(0.0, sensor.noise, picture.shape).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _paste_board(picture, target: Target, T_camera_target, fine: CameraModel, pixels) -> None:
    """Draw the board at sub-pixel resolution inside its bounding box and average down."""
    low = np.clip(np.floor(pixels.min(0)).astype(int) - 1, 0, [picture.shape[1], picture.shape[0]])
    high = np.clip(np.ceil(pixels.max(0)).astype(int) + 2, 0, [picture.shape[1], picture.shape[0]])
    if (high - low < 2).any():
        return
    margin = int(round(_MARGIN * _TEXELS))
    texture = np.pad(target.picture(_TEXELS).astype(np.float32) * (200 / 255) + 25, margin, constant_values=225.0)
    texture = np.dstack([texture, np.ones_like(texture)])
    scale = target.square / _TEXELS  # texel centre (u, v) is at (u + 0.5 - margin) * scale on the board
    texel_to_board = np.array([[scale, 0, (0.5 - margin) * scale], [0, scale, (0.5 - margin) * scale], [0, 0, 1.0]])
    board_to_fine = fine.K @ np.column_stack([T_camera_target[:3, 0], T_camera_target[:3, 1], T_camera_target[:3, 3]])
    shift = np.array([[1, 0, -_FINER * low[0]], [0, 1, -_FINER * low[1]], [0, 0, 1.0]])
    size = (high - low) * _FINER
    fine_per_square = _FINER * np.sqrt(np.prod(high - low) / (target.columns * target.rows))
    shrink = max(1, int(_TEXELS / fine_per_square))
    drawn = cv2.warpPerspective(
        _area(texture, shrink), shift @ board_to_fine @ texel_to_board @ _texel_scale(shrink),
        tuple(int(v) for v in size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0),
    )  # fmt: skip
    drawn = cv2.resize(drawn, tuple(int(v) for v in high - low), interpolation=cv2.INTER_AREA)
    region = picture[low[1] : high[1], low[0] : high[0]]
    region[:] = drawn[..., 0] + (1 - drawn[..., 1]) * region


def _area(texture: np.ndarray, shrink: int) -> np.ndarray:
    """The texture averaged over ``shrink`` x ``shrink`` texels, so that sub-pixels do not skip any."""
    height, width = (n // shrink for n in texture.shape[:2])
    return cv2.resize(texture[: height * shrink, : width * shrink], (width, height), interpolation=cv2.INTER_AREA)


def _texel_scale(shrink: int) -> np.ndarray:
    """Centres of shrunken texels in texels of before."""
    half = (shrink - 1) / 2
    return np.array([[shrink, 0, half], [0, shrink, half], [0, 0, 1.0]])
