"""Rigid motions as 4x4 arrays; rotations as matrices, rotation vectors or xyzw quaternions.

Every function broadcasts over leading axes unless it says otherwise. Metres and radians.
"""

import math

import numpy as np

_SMALL = 1e-8


def skew(v: np.ndarray) -> np.ndarray:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    v = np.asarray(v, dtype=float)
    out = np.zeros(v.shape[:-1] + (3, 3))
    out[..., 0, 1], out[..., 0, 2] = -v[..., 2], v[..., 1]
    out[..., 1, 0], out[..., 1, 2] = v[..., 2], -v[..., 0]
    out[..., 2, 0], out[..., 2, 1] = -v[..., 1], v[..., 0]
    return out


def rotvec_to_matrix(rotvec: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vectors (..., 3) to matrices (..., 3, 3)."""
    rotvec = np.asarray(rotvec, dtype=float)
    if rotvec.ndim == 1:
        return _one_rotvec_to_matrix(*rotvec.tolist())
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    k = skew(rotvec)
    small = angle < _SMALL
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0 - angle**2 / 6.0, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * k + b * (k @ k)


def _one_rotvec_to_matrix(x: float, y: float, z: float) -> np.ndarray:
    """The same for one vector, in plain floats: control loops call it hundreds of times a second."""
    squared = x * x + y * y + z * z
    angle = math.sqrt(squared)
    if angle < _SMALL:
        a, b = 1.0 - squared / 6.0, 0.5 - squared / 24.0
    else:
        a, b = math.sin(angle) / angle, 2.0 * (math.sin(0.5 * angle) / angle) ** 2
    bxy, bxz, byz = b * x * y, b * x * z, b * y * z
    return np.array(
        [
            [1.0 - b * (y * y + z * z), bxy - a * z, bxz + a * y],
            [bxy + a * z, 1.0 - b * (x * x + z * z), byz - a * x],
            [bxz - a * y, byz + a * x, 1.0 - b * (x * x + y * y)],
        ]
    )


def quat_xyzw(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), xyzw with w >= 0, of matrices (..., 3, 3) (Shepperd's method)."""
    r = np.asarray(rotation, dtype=float)
    if r.ndim == 2:
        return _one_quat_xyzw(r)
    m00, m11, m22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    four = np.stack([1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22, 1 + m00 + m11 + m22], -1)
    best = np.argmax(four, axis=-1)
    yz, zx, xy = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    pxy, pxz, pyz = r[..., 1, 0] + r[..., 0, 1], r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] + r[..., 1, 2]
    rows = np.stack(
        [
            np.stack([four[..., 0], pxy, pxz, yz], -1),
            np.stack([pxy, four[..., 1], pyz, zx], -1),
            np.stack([pxz, pyz, four[..., 2], xy], -1),
            np.stack([yz, zx, xy, four[..., 3]], -1),
        ],
        -2,
    )
    q = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., 3:] < 0, -q, q)


def _one_quat_xyzw(r: np.ndarray) -> np.ndarray:
    """The same for one matrix, in plain floats."""
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = r.tolist()
    four_x, four_y, four_z = 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22
    four_w = 1 + m00 + m11 + m22
    largest = max(four_x, four_y, four_z, four_w)
    if largest == four_w:
        q = (m21 - m12, m02 - m20, m10 - m01, four_w)
    elif largest == four_x:
        q = (four_x, m10 + m01, m20 + m02, m21 - m12)
    elif largest == four_y:
        q = (m10 + m01, four_y, m21 + m12, m02 - m20)
    else:
        q = (m20 + m02, m21 + m12, four_z, m10 - m01)
    norm = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return np.array(q) / math.copysign(norm, q[3])


def matrix_from_quat(quat: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) of xyzw quaternions (..., 4); the quaternion is normalised first."""
    q = np.asarray(quat, dtype=float)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    v, w = q[..., :3], q[..., 3][..., None, None]
    k = skew(v)
    return np.eye(3) + 2.0 * (w * k + k @ k)


def matrix_to_rotvec(rotation: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3) with angle in [0, pi] of matrices (..., 3, 3)."""
    q = quat_xyzw(rotation)
    if q.ndim == 1:
        return _one_rotvec(*q.tolist())
    v, w = q[..., :3], q[..., 3]
    sin_half = np.linalg.norm(v, axis=-1)
    small = sin_half < _SMALL
    angle = 2.0 * np.arctan2(sin_half, w)
    factor = np.where(small, 2.0, angle / np.where(small, 1.0, sin_half))
    return v * factor[..., None]


def _one_rotvec(x: float, y: float, z: float, w: float) -> np.ndarray:
    """The rotation vector of one quaternion, in plain floats."""
    sin_half = math.sqrt(x * x + y * y + z * z)
    factor = 2.0 if sin_half < _SMALL else 2.0 * math.atan2(sin_half, w) / sin_half
    return np.array([x * factor, y * factor, z * factor])


def transform(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Poses (..., 4, 4) from rotations (..., 3, 3) and translations (..., 3)."""
    rotation, translation = np.asarray(rotation, dtype=float), np.asarray(translation, dtype=float)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    out = np.zeros(shape + (4, 4))
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = rotation, translation, 1.0
    return out


def pose_from_rotvec(pose: np.ndarray) -> np.ndarray:
    """Poses (..., 4, 4) from UR-style vectors (..., 6): x, y, z, rx, ry, rz."""
    pose = np.asarray(pose, dtype=float)
    return transform(rotvec_to_matrix(pose[..., 3:]), pose[..., :3])


def pose_to_rotvec(pose: np.ndarray) -> np.ndarray:
    """UR-style vectors (..., 6) of poses (..., 4, 4)."""
    pose = np.asarray(pose, dtype=float)
    return np.concatenate([pose[..., :3, 3], matrix_to_rotvec(pose[..., :3, :3])], axis=-1)


def inverse(pose: np.ndarray) -> np.ndarray:
    """Inverse of rigid poses (..., 4, 4)."""
    pose = np.asarray(pose, dtype=float)
    r_t = np.swapaxes(pose[..., :3, :3], -1, -2)
    return transform(r_t, -(r_t @ pose[..., :3, 3:])[..., 0])


def rotation_angle(rotation: np.ndarray) -> np.ndarray:
    """Angle in [0, pi] of rotation matrices (..., 3, 3)."""
    return np.linalg.norm(matrix_to_rotvec(rotation), axis=-1)


def interpolate(pose_a: np.ndarray, pose_b: np.ndarray, s: float) -> np.ndarray:
    """Pose between two poses (4, 4): straight line and constant-axis rotation; s in [0, 1]."""
    rotvec = matrix_to_rotvec(pose_a[:3, :3].T @ pose_b[:3, :3])
    position = (1.0 - s) * pose_a[:3, 3] + s * pose_b[:3, 3]
    return transform(pose_a[:3, :3] @ rotvec_to_matrix(s * rotvec), position)
