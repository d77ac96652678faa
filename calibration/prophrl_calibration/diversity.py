"""Whether a set of poses can tell where the camera is, how well, and what to do when not.

Hand-eye calibration needs rotations about two different axes at least (Tsai and Lenz, 1989): the more they turn, the
less the noise of a picture matters.
"""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.errors import UserError

from prophrl_calibration.views import Problem, mean_pose, target_poses

FEWEST = 6
_STILL = np.radians(3.0)  # turning less than that is not turning
_NEAR = 0.02  # m
_ENOUGH = np.radians(12.0)  # spread about every axis of a good set
_AXES = "XYZ"


@dataclasses.dataclass(frozen=True)
class Diversity:
    """``turned`` (3,) rad: how far the tool turns (standard deviation) about its own axes; ``spread`` (m) how far it
    travels; ``second`` (rad) the turning about the second best axis, which decides; ``score`` 0..1, 1 is ample."""

    turned: np.ndarray
    spread: float
    second: float
    score: float
    advice: str


def assess(problem: Problem) -> Diversity:
    """How telling the poses are. UserError with advice when they cannot determine the camera's pose."""
    views = problem.views
    if len(views) < FEWEST:
        raise UserError(
            f"poses: expected {FEWEST} pictures of the board or more, got {len(views)}; take more (20 are good)"
        )
    T = np.array([v.T_base_tool0 for v in views])
    middle = mean_pose(T)
    turns = se3.matrix_to_rotvec(middle[:3, :3].T @ T[:, :3, :3])
    travel = T[:, :3, 3] - T[:, :3, 3].mean(0)
    spread = float(np.sqrt(np.mean(np.sum(travel**2, -1))))
    values, axes = np.linalg.eigh(turns.T @ turns / len(turns))
    axis_spread = np.sqrt(np.maximum(values, 0.0))[::-1]  # largest first
    main, second = float(axis_spread[0]), float(axis_spread[1])
    if main < _STILL and spread < _NEAR:
        raise UserError(
            f"poses: expected different ones, got all within {1e3 * spread:.0f} mm and {np.degrees(main):.1f} deg; "
            "spread them over the workspace and turn the wrist between pictures"
        )
    if main < _STILL:
        raise UserError(
            f"poses: expected turns of the tool, got pure translation (turns of {np.degrees(main):.1f} deg); "
            "tilt and turn the wrist between pictures, about two axes at least"
        )
    if second < _STILL:
        raise _single_axis(problem, axes[:, -1], np.degrees(second))
    turned = np.sqrt(np.mean(turns**2, axis=0))
    score = float(np.clip(second / _ENOUGH, 0.0, 1.0) * np.clip(len(views) / 12, 0.5, 1.0))
    return Diversity(turned, spread, second, score, _advice(turned, second, len(views), spread))


def _single_axis(problem: Problem, axis: np.ndarray, second_deg: float) -> UserError:
    """Turning about one axis only: either about the board's own normal, or about some other."""
    normals = target_poses(problem)[:, :3, 2]
    mean = normals.mean(0) / np.linalg.norm(normals.mean(0))
    tilt = float(np.degrees(np.sqrt(np.mean(np.arccos(np.clip(normals @ mean, -1, 1)) ** 2))))
    if tilt < np.degrees(_STILL):
        return UserError(
            f"poses: expected the board at different tilts, the camera sees it always at the same one (within "
            f"{tilt:.1f} deg); "
            "tilt the tool to and fro, left and right, between pictures"
        )
    around = _AXES[int(np.argmax(np.abs(axis)))]
    others = " or ".join(a for a in _AXES if a != around)
    return UserError(
        f"poses: expected turns about two axes, got about one only (near the tool's {around}, {second_deg:.1f} deg "
        f"about the "
        f"others); turn the wrist about {others}, too"
    )


def _advice(turned: np.ndarray, second: float, views: int, spread: float) -> str:
    least = int(np.argmin(turned))
    if second < _ENOUGH:
        weakest = int(np.argsort(turned)[1]) if turned[least] > 0.5 * _ENOUGH else least
        return f"rotate the wrist more about {_AXES[weakest]} (so far {np.degrees(turned[weakest]):.0f} deg)"
    if views < 12:
        return f"take more pictures (so far {views}; 20 are good)"
    if spread < 0.05:
        return f"move the tool further between pictures (so far {1e3 * spread:.0f} mm)"
    return ""
