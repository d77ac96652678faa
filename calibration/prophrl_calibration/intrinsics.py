"""Intrinsics: do the factory's values explain pictures of the board, and what are the camera's own."""

import dataclasses

import cv2
import numpy as np
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError

from prophrl_calibration.detection import Corners
from prophrl_calibration.target import Target
from prophrl_calibration.views import target_pose

FEWEST = 8
GRID = (8, 6)  # cells of the coverage map, along x and y
_WORTH = 0.8  # own values are better when they leave less than this share: a board's own pose hides most of an error
_COVERED = 0.6  # share of cells with corners that own values need
_TILTED = np.cos(np.radians(15.0))


@dataclasses.dataclass(frozen=True)
class Fit:
    """A camera model on some pictures: rms and per-picture error (px); ``sigma`` of fx, fy, cx, cy (px), NaN if
    given.
    """

    camera: CameraModel
    rms: float
    errors: np.ndarray
    sigma: tuple[float, float, float, float] = (np.nan,) * 4


def coverage(pictures: list[Corners], camera: CameraModel) -> np.ndarray:
    """How many corners fell into each cell of the picture, (6, 8) int."""
    counts = np.zeros(GRID[::-1], int)
    for corners in pictures:
        x, y = (corners.pixels / [camera.width, camera.height] * GRID).astype(int).T
        np.add.at(counts, (np.clip(y, 0, GRID[1] - 1), np.clip(x, 0, GRID[0] - 1)), 1)
    return counts


def verify(pictures: list[Corners], target: Target, camera: CameraModel) -> Fit:
    """How well ``camera`` explains the pictures, each with a board pose of its own."""
    errors = []
    for corners in pictures:
        T, points = target_pose(corners, target, camera), target.corners_N3[corners.ids]
        pixels, _ = camera.project(points @ T[:3, :3].T + T[:3, 3])
        errors.append(np.sqrt(np.mean(np.sum((pixels - corners.pixels) ** 2, -1))))
    errors = np.array(errors)
    return Fit(camera, float(np.sqrt(np.mean(errors**2))), errors)


def estimate(pictures: list[Corners], target: Target, camera: CameraModel) -> Fit:
    """The camera's own values, from ``camera`` on. UserError when the pictures cannot determine them."""
    if len(pictures) < FEWEST:
        raise UserError(
            f"intrinsics: expected {FEWEST} pictures or more, got {len(pictures)}; take more, everywhere in the image"
        )
    covered = float(np.mean(coverage(pictures, camera) > 0))
    if covered < _COVERED:
        raise UserError(
            f"intrinsics: expected corners in {100 * _COVERED:.0f} % of the image, got {100 * covered:.0f} %; hold "
            f"the board into the "
            "corners and edges of the picture, too"
        )
    straight = [target_pose(c, target, camera)[2, 2] > _TILTED for c in pictures]
    if np.mean(straight) > 0.8:
        raise UserError(
            "intrinsics: expected the board tilted, got it facing the camera nearly always: the focal length cannot "
            "be told from "
            "the distance; tilt it by 20 to 40 deg, every way"
        )
    points = [target.corners_N3[c.ids].astype(np.float32) for c in pictures]
    pixels = [c.pixels.astype(np.float32) for c in pictures]
    rms, K, d, _, _, spread, _, errors = cv2.calibrateCameraExtended(
        points, pixels, (camera.width, camera.height), camera.K, np.array(camera.distortion),
        flags=cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_K3,
    )  # fmt: skip
    found = dataclasses.replace(
        camera,
        fx=float(K[0, 0]),
        fy=float(K[1, 1]),
        cx=float(K[0, 2]),
        cy=float(K[1, 2]),
        distortion=tuple(map(float, d.ravel()[:5])),
    )
    return Fit(found, float(rms), errors.ravel(), tuple(map(float, spread.ravel()[:4])))


def own_are_better(given: Fit, own: Fit) -> bool:
    """Whether the camera's own values are worth replacing those given."""
    return own.rms < _WORTH * given.rms


def coverage_picture(pictures: list[Corners], camera: CameraModel) -> np.ndarray:
    """RGB picture of where corners were seen: cells with none are red."""
    counts = coverage(pictures, camera)
    cells = np.where(counts[..., None] > 0, np.array([60, 110, 70]), np.array([150, 50, 50])).astype(np.uint8)
    picture = cv2.resize(cells, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST)
    for corners in pictures:
        for x, y in corners.pixels:
            cv2.circle(picture, (int(x), int(y)), 2, (255, 230, 90), -1)
    return picture
