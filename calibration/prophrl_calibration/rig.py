"""Target and camera mounts as a simulated cell and the bench set them up; true poses are drawn around these."""

import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CellSpec
from prophrl_core.ur_kinematics import forward

from prophrl_calibration.proposals import Nominal
from prophrl_calibration.target import Target
from prophrl_calibration.views import Mount

HAND_TARGET = Target()  # on the tool: 210 x 150 mm
TABLE_TARGET = Target(columns=8, rows=6, square=0.035, marker=0.026)
_BRACKET = (0.10, 0.10)  # m the hand target's middle lies before and below the flange
_FACING = 0.75  # rad by which it looks up from the horizontal, with the tool straight down
_TABLE_MIDDLE = (0.55, 0.0, 0.03)  # m, of the table target, which lies on a support
CAMERA_ON_TOOL = se3.transform(se3.rotvec_to_matrix(np.array([0.15, 0.0, 0.0])), np.array([0.0, -0.14, 0.03]))


def hand_target(cell: CellSpec, target: Target, T_base_camera: np.ndarray) -> np.ndarray:
    """T_tool0_target (4, 4) of a target on a bracket that faces the camera with the arm at home."""
    T_home = forward(cell.robot.kinematics, np.array(cell.robot.home))
    forth = T_base_camera[:3, 3] - T_home[:3, 3]
    forth[2] = 0.0
    forth /= np.linalg.norm(forth)
    up = np.array([0.0, 0.0, 1.0])
    normal = np.cos(_FACING) * forth + np.sin(_FACING) * up  # out of the print
    x = np.cross(up, forth)
    rotation = np.stack([x, np.cross(-normal, x), -normal], axis=1)
    middle = T_home[:3, 3] + _BRACKET[0] * forth - _BRACKET[1] * up
    corner = middle - rotation @ [target.width / 2, target.height / 2, 0.0]
    return se3.inverse(T_home) @ se3.transform(rotation, corner)


def table_target(target: Target) -> np.ndarray:
    """T_base_target (4, 4) of a target that lies face up on the table."""
    rotation = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    corner = np.array(_TABLE_MIDDLE) - rotation @ [target.width / 2, target.height / 2, 0.0]
    return se3.transform(rotation, corner)


def nominal(cell: CellSpec, mount: Mount, camera: str, target: Target | None = None) -> Nominal:
    """Where camera and target should be in this cell."""
    spec = cell.camera(camera)
    if mount is Mount.EYE_TO_HAND:
        target = target or HAND_TARGET
        return Nominal(mount, spec.model, target, spec.pose, hand_target(cell, target, spec.pose))
    target = target or TABLE_TARGET
    return Nominal(mount, spec.model, target, CAMERA_ON_TOOL, table_target(target))
