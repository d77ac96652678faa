"""How well a calibration predicts views that it has not seen."""

import dataclasses

import numpy as np
from prophrl_core import se3

from prophrl_calibration import refine
from prophrl_calibration.views import Problem, target_pose

FOLDS = 5


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Medians over the views, each predicted from the other folds: position (m) and direction (rad) of the target in
    the camera's frame against what its picture alone says, and reprojection error (px)."""

    position: float
    direction: float
    pixels: float
    views: int


def residuals(problem: Problem, solution: refine.Solution) -> HeldOut:
    """Cross-validation over the views that ``solution`` used; fewer folds where views are few."""
    problem = refine.clear(problem, solution.X, solution.Y, problem.camera, 1.0)
    kept = [i for i in range(len(problem.views)) if i not in solution.outliers]
    folds = np.array_split(np.random.default_rng(0).permutation(kept), min(FOLDS, len(kept)))
    rows = []
    for fold in folds:
        rest = problem.subset(sorted(set(kept) - set(fold.tolist())))
        found = refine.solve(rest, guess=(solution.X, solution.Y))
        held = problem.subset(fold)
        predicted = se3.inverse(found.X) @ held.M_N44 @ found.Y
        for view, T in zip(held.views, predicted):
            points = problem.target.corners_N3[view.corners.ids]
            pixels, _ = problem.camera.project(points @ T[:3, :3].T + T[:3, 3])
            difference = se3.inverse(T) @ target_pose(view.corners, problem.target, problem.camera)
            middle = points.mean(0)
            apart = np.linalg.norm(difference[:3, :3] @ middle + difference[:3, 3] - middle)
            turned = se3.rotation_angle(difference[:3, :3])
            rows.append((apart, turned, np.sqrt(np.mean(np.sum((pixels - view.corners.pixels) ** 2, -1)))))
    position, direction, pixels = np.median(rows, axis=0)
    return HeldOut(float(position), float(direction), float(pixels), len(rows))
