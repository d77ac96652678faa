"""OpenCV's closed-form hand-eye solutions: where the refinement starts, and what it is measured against."""

import cv2
import numpy as np
from prophrl_core import se3

from prophrl_calibration.views import Problem, mean_pose

HAND_EYE = {
    "tsai": cv2.CALIB_HAND_EYE_TSAI,
    "park": cv2.CALIB_HAND_EYE_PARK,
    "horaud": cv2.CALIB_HAND_EYE_HORAUD,
    "andreff": cv2.CALIB_HAND_EYE_ANDREFF,
    "daniilidis": cv2.CALIB_HAND_EYE_DANIILIDIS,
}
ROBOT_WORLD = {"shah": cv2.CALIB_ROBOT_WORLD_HAND_EYE_SHAH, "li": cv2.CALIB_ROBOT_WORLD_HAND_EYE_LI}
METHODS = (*HAND_EYE, *ROBOT_WORLD)
_SUBSETS, _SUBSET_SIZE = 24, 6
_RMS_OF_MEDIAN = 1.2  # of the length of a Gaussian error in the plane


def solve(method: str, M_N44: np.ndarray, T_camera_target_N44: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """X and Y (4, 4) of ``views``' equation by one method; None where it fails."""
    T = T_camera_target_N44
    try:
        if method in HAND_EYE:
            hand = se3.inverse(M_N44)
            R, t = cv2.calibrateHandEye(
                list(hand[:, :3, :3]),
                list(hand[:, :3, 3]),
                list(T[:, :3, :3]),
                list(T[:, :3, 3]),
                method=HAND_EYE[method],
            )
            X = se3.transform(R, t.ravel())
            Y = mean_pose(se3.inverse(M_N44) @ X @ T)
        else:
            R_world, t_world, R, t = cv2.calibrateRobotWorldHandEye(
                list(T[:, :3, :3]), list(T[:, :3, 3]), list(M_N44[:, :3, :3]), list(M_N44[:, :3, 3]),
                method=ROBOT_WORLD[method],
            )  # fmt: skip
            X = se3.inverse(se3.transform(R, t.ravel()))
            Y = se3.inverse(se3.transform(R_world, t_world.ravel()))
    except cv2.error:
        return None
    good = np.isfinite(X).all() and np.isfinite(Y).all() and abs(np.linalg.det(X[:3, :3]) - 1) < 1e-3
    return (X, Y) if good else None


def corner_errors(problem: Problem, X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
    """Reprojection error (n,) px of the corners of every view; infinite behind the camera."""
    seen, errors = se3.inverse(X) @ problem.M_N44 @ Y, []
    for view, T in zip(problem.views, seen):
        points = problem.target.corners_N3[view.corners.ids]
        pixels, _ = problem.camera.project(points @ T[:3, :3].T + T[:3, 3])
        errors.append(np.nan_to_num(np.linalg.norm(pixels - view.corners.pixels, axis=1), nan=np.inf))
    return errors


def view_errors(problem: Problem, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Reprojection error of every view, (N,) px: its root mean square, estimated by the median so that corners
    behind an
    obstacle do not matter."""
    return np.array([_RMS_OF_MEDIAN * float(np.median(e)) for e in corner_errors(problem, X, Y)])


def start(problem: Problem, T_camera_target_N44: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The closed form with the smallest median view error, over all views and over random sixes of them.

    Two bad views in twenty spoil every solution from all views; among the sixes some are clean.
    """
    M, T, n = problem.M_N44, T_camera_target_N44, len(problem.views)
    rng = np.random.default_rng(0)
    tries = [(method, np.arange(n)) for method in METHODS]
    if n > _SUBSET_SIZE:
        tries += [("park", rng.choice(n, _SUBSET_SIZE, replace=False)) for _ in range(_SUBSETS)]
    best, best_error = None, np.inf
    for method, indices in tries:
        found = solve(method, M[indices], T[indices])
        if found is None:
            continue
        error = float(np.median(view_errors(problem, *found)))
        if best is None or error < best_error:
            best, best_error = (*found, method), error
    if best is None:
        raise ValueError("no closed form has a solution")
    return best
