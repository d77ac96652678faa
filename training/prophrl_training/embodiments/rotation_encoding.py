"""Rotations as foreign datasets write them: rotation vectors, quaternions, Euler angles."""

import itertools

import numpy as np
from prophrl_core import se3
from prophrl_core.errors import UserError

_WIDTHS = {"rotvec": 3, "quat_xyzw": 4, "quat_wxyz": 4}
_ORDERS = ["".join(p) for p in itertools.permutations("xyz")]
EULER_PREFIX = "euler_"
ENCODINGS = (*_WIDTHS, *(EULER_PREFIX + o for o in _ORDERS), *(EULER_PREFIX + o.upper() for o in _ORDERS))


def check_encoding(encoding: str, where: str) -> None:
    """UserError when there is no such encoding."""
    if encoding not in ENCODINGS:
        raise UserError(f"{where}: expected an encoding like rotvec, quat_xyzw, euler_xyz, got {encoding!r}")


def width(encoding: str) -> int:
    """Numbers per rotation."""
    return _WIDTHS.get(encoding, 3)


def is_euler(encoding: str) -> bool:
    """Whether the numbers are three angles about named axes."""
    return encoding.startswith(EULER_PREFIX)


def to_matrix(values: np.ndarray, encoding: str) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of encoded rotations (..., 3) or (..., 4), radians.

    ``euler_xyz`` turns about the fixed x, then y, then z axis (R = Rz Ry Rx); ``euler_XYZ`` about the moving ones.
    A quaternion of zero length raises ValueError.
    """
    values = np.asarray(values, dtype=float)
    if encoding == "rotvec":
        return se3.rotvec_to_matrix(values)
    if encoding.startswith("quat"):
        if (np.linalg.norm(values, axis=-1) < 0.5).any():
            raise ValueError("a quaternion has a length below 0.5")
        return se3.matrix_from_quat(values if encoding == "quat_xyzw" else np.roll(values, -1, axis=-1))
    order = encoding.removeprefix(EULER_PREFIX)
    matrix = np.broadcast_to(np.eye(3), (*values.shape[:-1], 3, 3))
    for i, axis in enumerate(order):
        turn = _about(axis.lower(), values[..., i])
        matrix = matrix @ turn if axis.isupper() else turn @ matrix
    return matrix


def _about(axis: str, angle: np.ndarray) -> np.ndarray:
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        "x": [[one, zero, zero], [zero, c, -s], [zero, s, c]],
        "y": [[c, zero, s], [zero, one, zero], [-s, zero, c]],
        "z": [[c, -s, zero], [s, c, zero], [zero, zero, one]],
    }[axis]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
