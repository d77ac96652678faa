"""What a hand-eye calibration starts from: pictures of the target and where the arm was.

One equation serves both mounts. With M = T_base_tool0 (eye to hand: X = T_base_camera, Y = T_tool0_target) or
M = inv(T_base_tool0) (eye in hand: X = T_tool0_camera, Y = T_base_target), a target point p is seen at
inv(X) M Y p in the camera's optical frame.
"""

import dataclasses
import enum

import cv2
import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel

from prophrl_calibration.detection import Corners
from prophrl_calibration.target import Target


class Mount(enum.Enum):
    """Where the camera is."""

    EYE_TO_HAND = "eye_to_hand"  # beside the arm, target on the tool
    EYE_IN_HAND = "eye_in_hand"  # on the tool, target on the table


@dataclasses.dataclass(frozen=True)
class View:
    """One picture: its ``name`` for messages, ``T_base_tool0`` (4, 4) when it was taken, and the corners found."""

    name: str
    T_base_tool0: np.ndarray
    corners: Corners


@dataclasses.dataclass(frozen=True)
class Problem:
    """Views of one camera with its intrinsics."""

    mount: Mount
    target: Target
    camera: CameraModel
    views: tuple[View, ...]

    def subset(self, indices) -> "Problem":
        return dataclasses.replace(self, views=tuple(self.views[i] for i in indices))

    @property
    def M_N44(self) -> np.ndarray:
        """M of every view (see above), (N, 4, 4)."""
        T = np.array([v.T_base_tool0 for v in self.views])
        return T if self.mount is Mount.EYE_TO_HAND else se3.inverse(T)


def target_pose(corners: Corners, target: Target, camera: CameraModel) -> np.ndarray:
    """T_camera_target (4, 4) from one picture alone, refined from the better of the two planar solutions."""
    points, K, d = target.corners_N3[corners.ids], camera.K, np.array(camera.distortion)
    pixels = np.ascontiguousarray(corners.pixels)
    found = cv2.solvePnPGeneric(points, pixels, K, d, flags=cv2.SOLVEPNP_IPPE)
    best = int(np.argmin(np.ravel(found[3]))) if found[0] else 0
    rotvec, t = cv2.solvePnPRefineLM(points, pixels, K, d, found[1][best], found[2][best])
    return se3.transform(se3.rotvec_to_matrix(rotvec.ravel()), t.ravel())


def target_poses(problem: Problem) -> np.ndarray:
    """T_camera_target of every view, (N, 4, 4)."""
    return np.array([target_pose(v.corners, problem.target, problem.camera) for v in problem.views])


def mean_pose(poses_N44: np.ndarray) -> np.ndarray:
    """Chordal mean of rotations, median of translations."""
    u, _, vt = np.linalg.svd(poses_N44[:, :3, :3].mean(0))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return se3.transform(rotation, np.median(poses_N44[:, :3, 3], axis=0))
