"""The daily check: has the camera been bumped since it was calibrated?

A handful of the calibration's own poses is visited again. Camera and board pose are solved afresh, because the board
may have been taken off since; only the camera is compared.
"""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.cell import CalibrationRecord
from prophrl_core.ur_kinematics import URModel, forward

from prophrl_calibration import proposals, refine
from prophrl_calibration.target import Target
from prophrl_calibration.views import Mount, Problem

POSES = 6
FEWEST = 4  # pictures of them that have to be good
_MOVED_M, _MOVED_RAD = 0.002, np.radians(0.2)  # less is not worth an alarm
_SURE = 1.5  # times the radius that holds the truth nine times in ten


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How far the camera now is from where it was calibrated (m, rad), what would be alarming, and whether it is."""

    moved: tuple[float, float]
    alarming: tuple[float, float]
    bumped: bool

    def __str__(self) -> str:
        mm, deg = 1e3 * self.moved[0], np.degrees(self.moved[1])
        if self.bumped:
            away = f"{mm:.1f} mm and {deg:.2f} deg"
            return f"bumped: the camera is {away} from where it was calibrated; run: prophrl calibrate hand-eye"
        return f"in place: {mm:.2f} mm and {deg:.3f} deg from where it was calibrated"


def judge(problem: Problem, X: np.ndarray) -> Verdict:
    """Compare the camera of ``problem`` with its calibrated pose ``X`` (4, 4)."""
    solution = refine.solve(problem)
    moved = (
        float(np.linalg.norm(solution.X[:3, 3] - X[:3, 3])),
        float(se3.rotation_angle(solution.X[:3, :3].T @ X[:3, :3])),
    )
    alarming = tuple(max(least, _SURE * r) for least, r in zip((_MOVED_M, _MOVED_RAD), solution.radius()))
    return Verdict(moved, alarming, any(m > a for m, a in zip(moved, alarming)))


def poses(
    arm: URModel, home: np.ndarray, record: CalibrationRecord, X: np.ndarray, camera: CameraModel
) -> list[proposals.Pose]:
    """The most telling of the calibration's own poses."""
    nominal = proposals.Nominal(
        Mount(record.mount), camera, Target(**dataclasses.asdict(record.board)), X,
        se3.pose_from_rotvec(np.array(record.T_target)),
    )  # fmt: skip
    known = [proposals.Pose(np.array(q), T := forward(arm, np.array(q)), nominal.seen_at(T)) for q in record.joints]
    return proposals.in_order(proposals.most_telling(nominal, known, POSES), home)
