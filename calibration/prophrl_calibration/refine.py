"""Camera and target pose from all corners of all views at once, with their covariance and the views that do not fit.

Minimises the reprojection error with a robust loss, drops views and corners that lie far outside the others,
minimises again. The covariance is from the Jacobian, scaled with the residuals; it is taken between views rather than
between corners where the errors of one picture's corners go together (arm, blur, warped print).
"""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from scipy.optimize import least_squares
from scipy.stats import t as student

from prophrl_calibration import closed_form
from prophrl_calibration.detection import Corners
from prophrl_calibration.views import Problem, target_poses

_LOSS_SCALE = 0.3  # px; corners further off than that count less
_OUTLIER_RATIO, _OUTLIER_FLOOR = 4.0, 0.5  # times the median view error; px below which no view or corner is dropped
_MOST_OUTLIERS = 0.4  # of the views
_DRAWS = 4000


@dataclasses.dataclass(frozen=True)
class Free:
    """What is estimated beside camera and target pose."""

    intrinsics: bool = False  # fx, fy, cx, cy
    scale: bool = False  # the target's squares relative to what is described


@dataclasses.dataclass(frozen=True)
class Solution:
    """X, Y as in ``views``; ``covariance`` (12, 12) of X, then Y: each translation (m) in its parent frame, then
    rotation
    (rad) in its own.

    ``view_errors`` (N,) px of all views; ``outliers`` their indices that were left out.
    """

    X: np.ndarray
    Y: np.ndarray
    camera: CameraModel
    scale: float
    covariance: np.ndarray
    view_errors: np.ndarray
    outliers: tuple[int, ...]
    rms: float  # px, of the views that were used
    start: str  # closed form it began with
    freedom: int  # views used less those the unknowns take up

    def radius(self, level: float = 0.9, of_target: bool = False) -> tuple[float, float]:
        """Radii (m, rad) that hold the true position and direction of X, or of Y, with probability ``level``."""
        rng = np.random.default_rng(0)
        part = slice(6, 12) if of_target else slice(6)
        draws = rng.multivariate_normal(np.zeros(6), self.covariance[part, part], _DRAWS, method="svd")
        wide = student.ppf(0.5 + level / 2, self.freedom) / student.ppf(0.5 + level / 2, 1e9)
        return tuple(
            float(wide * np.quantile(np.linalg.norm(draws[:, k], axis=1), level)) for k in (slice(3), slice(3, 6))
        )


class _Model:
    """Residuals of a problem as a function of a vector: X (6), Y (6), then what is free."""

    def __init__(self, problem: Problem, X: np.ndarray, Y: np.ndarray, free: Free):
        self.problem, self.X, self.Y, self.free = problem, X, Y, free
        ids = [v.corners.ids for v in problem.views]
        self.of_view = np.repeat(np.arange(len(ids)), [len(i) for i in ids])
        self._points = problem.target.corners_N3[np.concatenate(ids)]
        self._pixels = np.concatenate([v.corners.pixels for v in problem.views])
        self._M = problem.M_N44
        self.size = 12 + 4 * free.intrinsics + free.scale

    def unpack(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, CameraModel, float]:
        X, Y, camera, scale = moved(self.X, p[:6]), moved(self.Y, p[6:12]), self.problem.camera, 1.0
        if self.free.intrinsics:
            f = p[12:16]
            camera = dataclasses.replace(
                camera, fx=camera.fx * (1 + f[0]), fy=camera.fy * (1 + f[1]),
                cx=camera.cx + f[2] * camera.width, cy=camera.cy + f[3] * camera.height,
            )  # fmt: skip
        if self.free.scale:
            scale = float(np.exp(p[-1]))
        return X, Y, camera, scale

    def residuals(self, p: np.ndarray) -> np.ndarray:
        """(2 N,) px; a point behind the camera is 1000 px off."""
        X, Y, camera, scale = self.unpack(p)
        T = (se3.inverse(X) @ self._M @ Y)[self.of_view]
        seen = (T[:, :3, :3] @ (scale * self._points)[..., None])[..., 0] + T[:, :3, 3]
        pixels, _ = camera.project(seen)
        return np.nan_to_num((pixels - self._pixels).ravel(), nan=1e3)

    def jacobian(self, p: np.ndarray) -> np.ndarray:
        """Central differences; every parameter is of order one per metre, radian or image size."""
        steps = np.eye(self.size) * 1e-6
        return np.stack([(self.residuals(p + s) - self.residuals(p - s)) / 2e-6 for s in steps], axis=1)


def moved(T: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """``T`` translated by twist[:3] in its parent frame and turned by twist[3:] in its own."""
    return se3.transform(T[:3, :3] @ se3.rotvec_to_matrix(twist[3:]), T[:3, 3] + twist[:3])


def _minimise(problem: Problem, X, Y, free: Free, loss: str) -> tuple[_Model, np.ndarray]:
    model = _Model(problem, X, Y, free)
    found = least_squares(
        model.residuals, np.zeros(model.size), jac=model.jacobian, loss=loss, f_scale=_LOSS_SCALE, x_scale="jac",
        max_nfev=100,
    )  # fmt: skip
    return model, found.x


def solve(problem: Problem, free: Free = Free(), guess: tuple[np.ndarray, np.ndarray] | None = None) -> Solution:
    """The best X and Y of a problem with 3 views or more. ``guess`` replaces the closed-form start."""
    started = "guess"
    if guess is None:
        X, Y, started = closed_form.start(problem, target_poses(problem))
    else:
        X, Y = guess
    model, p = _minimise(problem, X, Y, free, "cauchy")
    X, Y, camera, scale = model.unpack(p)
    kept = _kept(_errors(problem, X, Y, camera, scale))
    used = clear(problem.subset(kept), X, Y, camera, scale)
    model, p = _minimise(used, X, Y, free, "soft_l1")
    X, Y, camera, scale = model.unpack(p)
    errors = _errors(problem, X, Y, camera, scale)
    outliers = tuple(i for i in range(len(problem.views)) if i not in kept)
    residuals = model.residuals(p)
    freedom = max(1, len(kept) - int(np.ceil(model.size / 6)))
    rms = float(np.sqrt(2 * np.mean(residuals**2)))
    return Solution(X, Y, camera, scale, _covariance(model, p), errors, outliers, rms, started, freedom)


def _as_solved(problem: Problem, camera: CameraModel, scale: float) -> Problem:
    scaled = problem.target.scaled(problem.target.square * scale) if scale != 1.0 else problem.target
    return dataclasses.replace(problem, camera=camera, target=scaled)


def _errors(problem: Problem, X, Y, camera: CameraModel, scale: float) -> np.ndarray:
    return closed_form.view_errors(_as_solved(problem, camera, scale), X, Y)


def clear(problem: Problem, X, Y, camera: CameraModel, scale: float) -> Problem:
    """The problem without single corners that do not fit, such as those at the edge of something in front of the
    board.
    """
    views = []
    for view, errors in zip(problem.views, closed_form.corner_errors(_as_solved(problem, camera, scale), X, Y)):
        good = errors <= max(_OUTLIER_FLOOR, _OUTLIER_RATIO * float(np.median(errors)))
        corners = Corners(view.corners.ids[good], view.corners.pixels[good])
        views.append(dataclasses.replace(view, corners=corners))
    return dataclasses.replace(problem, views=tuple(views))


def _kept(errors: np.ndarray) -> np.ndarray:
    """Indices of the views that fit; the worst are dropped, at most a share of all."""
    limit = max(_OUTLIER_FLOOR, _OUTLIER_RATIO * float(np.median(errors)))
    order = np.argsort(errors)
    fewest = max(3, int(np.ceil((1 - _MOST_OUTLIERS) * len(errors))))
    return np.sort([i for rank, i in enumerate(order) if rank < fewest or errors[i] <= limit])


def _covariance(model: _Model, p: np.ndarray) -> np.ndarray:
    """The larger, on every axis, of the covariance for independent corners and for independent views."""
    J, r = model.jacobian(p), model.residuals(p)
    scale = np.linalg.norm(J, axis=0)
    scale[scale == 0] = 1.0
    Js = J / scale
    inverse = np.linalg.pinv(Js.T @ Js, rcond=1e-14)
    n, k, views = len(r), J.shape[1], model.of_view.max() + 1
    corners = inverse * (r @ r) / max(1, n - k)
    rows = np.repeat(model.of_view, 2)
    gradients = np.stack([Js[rows == i].T @ r[rows == i] for i in range(views)])
    clustered = inverse @ (gradients.T @ gradients) @ inverse * views / max(1, views - k / 6)
    chosen = corners[:12, :12]
    ratio = np.sqrt(np.maximum(1.0, np.diag(clustered)[:12] / np.diag(chosen)))
    return chosen * np.outer(ratio, ratio) / np.outer(scale[:12], scale[:12])
