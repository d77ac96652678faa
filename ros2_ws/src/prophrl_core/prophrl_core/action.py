"""The action space shared by policies, arm, recorder and world model (method.md section 1)."""

import dataclasses
import hashlib
import json

import numpy as np

from prophrl_core import se3
from prophrl_core.errors import UserError

ACTION_NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "openness")
ACTION_DIMS = len(ACTION_NAMES)


@dataclasses.dataclass(frozen=True)
class ActionSpec:
    """What the numbers of a chunk mean.

    One step is ``[dx, dy, dz, rx, ry, rz, g]``: translation (m) and rotation vector (rad) of
    ``inv(T_prev) @ T_next`` in the previous TCP frame, then gripper openness (0 closed, 1 open).
    """

    parameterisation: str = "tcp_delta_rotvec_openness"
    dims: int = ACTION_DIMS
    rate_hz: float = 10.0
    chunk_steps: int = 20
    max_translation: float = 0.06  # m per step
    max_rotation: float = 0.35  # rad per step

    @property
    def id(self) -> str:
        """Sixteen hex digits that change with any field; both ends of a chunk must agree on it."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def step_period(self) -> float:
        """Seconds between consecutive actions."""
        return 1.0 / self.rate_hz

    @classmethod
    def from_dict(cls, data: dict) -> "ActionSpec":
        """Strict inverse of ``dataclasses.asdict``."""
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(data, dict) or set(data) - known:
            raise UserError(f"action spec: expected the fields {sorted(known)}, got {data!r}; rewrite the manifest")
        return cls(**data)


def integrate(T_base_tcp: np.ndarray, actions_TD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Absolute TCP poses (T, 4, 4) and openness (T,) after each step of a chunk, from pose (4, 4)."""
    actions_TD = np.asarray(actions_TD, dtype=float)
    deltas = se3.pose_from_rotvec(actions_TD[:, :6])
    poses = np.empty((len(actions_TD), 4, 4))
    current = np.asarray(T_base_tcp, dtype=float)
    for i, d in enumerate(deltas):
        current = current @ d
        poses[i] = current
    return poses, actions_TD[:, 6].copy()


def delta(T_prev: np.ndarray, T_next: np.ndarray, openness: float) -> np.ndarray:
    """The action (7,) that takes the TCP from ``T_prev`` to ``T_next``."""
    return np.append(se3.pose_to_rotvec(se3.inverse(T_prev) @ T_next), float(openness))


def proprioception(T_base_tcp: np.ndarray, openness: float | np.ndarray) -> np.ndarray:
    """Policy state (..., 10): position (3, m), first two rotation columns (6), openness (1).

    Computed from *commanded* poses (..., 4, 4), so imagined rollouts integrate it from actions alone.
    """
    T = np.asarray(T_base_tcp, dtype=float)
    columns = np.swapaxes(T[..., :3, :2], -1, -2).reshape(T.shape[:-2] + (6,))
    g = np.broadcast_to(np.asarray(openness, dtype=float), T.shape[:-2])[..., None]
    return np.concatenate([T[..., :3, 3], columns, g], axis=-1)
