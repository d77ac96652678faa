"""Views of a target from chosen arm poses without any picture: exact projection and a little corner noise."""

import dataclasses

import numpy as np
from prophrl_calibration.detection import Corners
from prophrl_calibration.target import Target
from prophrl_calibration.views import Mount, Problem, View
from prophrl_core import se3
from prophrl_core.camera import CameraModel, look_at

CAMERA = CameraModel(640, 480, 615.0, 615.0, 319.5, 239.5)
TARGET = Target()
T_BASE_CAMERA = look_at([1.02, 0.0, 0.82], [0.45, 0.0, 0.2])
T_TOOL_TARGET = se3.transform(se3.rotvec_to_matrix(np.array([0.1, 2.3, 0.2])), np.array([0.05, -0.06, 0.1]))
DOWN = np.diag([1.0, -1.0, -1.0])


def tool(position, rotvec) -> np.ndarray:
    """T_base_tool0 near (0.5, 0, 0.45), turned by ``rotvec`` from straight down, in the tool's frame."""
    return se3.transform(DOWN @ se3.rotvec_to_matrix(np.array(rotvec, float)), np.array([0.5, 0.0, 0.45]) + position)


def facing() -> np.ndarray:
    """T_tool0_target that shows the board to the camera with the tool straight down, middle in the picture."""
    T = tool(np.zeros(3), np.zeros(3))
    towards = T_BASE_CAMERA[:3, 3] - T[:3, 3]
    towards /= np.linalg.norm(towards)
    x = np.cross([0.0, 0.0, 1.0], towards)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(-towards, x), -towards], axis=1)
    corner = T[:3, 3] + 0.05 * towards - rotation @ [TARGET.width / 2, TARGET.height / 2, 0]
    return se3.inverse(T) @ se3.transform(rotation, corner)


def problem(
    poses, noise: float = 0.08, seed: int = 0, camera: CameraModel = CAMERA, target: Target = TARGET
) -> Problem:
    """Eye-to-hand views at ``poses`` (T_base_tool0) as ``CAMERA`` and ``TARGET`` truly are; told as given."""
    rng, Y, views = np.random.default_rng(seed), facing(), []
    for i, T in enumerate(poses):
        seen = se3.inverse(T_BASE_CAMERA) @ T @ Y
        pixels, _ = CAMERA.project(TARGET.corners_N3 @ seen[:3, :3].T + seen[:3, 3])
        corners = Corners(np.arange(len(pixels)), pixels + noise * rng.normal(size=pixels.shape))
        views.append(View(f"pose {i + 1}", T, corners))
    return Problem(Mount.EYE_TO_HAND, target, camera, tuple(views))


def varied(n: int = 20, seed: int = 0, turn: float = 0.35, travel: float = 0.1) -> list[np.ndarray]:
    """Poses that tell everything."""
    rng = np.random.default_rng(seed)
    return [tool(travel * rng.uniform(-1, 1, 3), turn * rng.uniform(-1, 1, 3)) for _ in range(n)]


def spoiled(views: Problem, index: int, metres: float) -> Problem:
    """The same with one view's arm pose wrong."""
    T = views.views[index].T_base_tool0.copy()
    T[0, 3] += metres
    changed = list(views.views)
    changed[index] = dataclasses.replace(changed[index], T_base_tool0=T)
    return dataclasses.replace(views, views=tuple(changed))
