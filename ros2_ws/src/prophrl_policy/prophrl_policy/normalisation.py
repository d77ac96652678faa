"""Units to network numbers and back, with statistics that weights and bundle must agree on.

Actions are mapped so that the 1st and 99th percentile of the demonstrations become -1 and 1, each
range at least ``SMALLEST_RANGE`` wide (a dimension a task never uses must not blow noise up).
Proprioception is mapped to zero mean and unit deviation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
from prophrl_core.errors import UserError

SMALLEST_RANGE = np.array([4e-3, 4e-3, 4e-3, 1e-2, 1e-2, 1e-2, 1.0])  # m, rad, openness
SMALLEST_DEVIATION = 0.02  # m or a rotation matrix' entry


@dataclass(frozen=True)
class Statistics:
    """Float32 vectors: action percentiles (D,) and proprioception moments (P,)."""

    action_low_D: np.ndarray
    action_high_D: np.ndarray
    proprio_mean_P: np.ndarray
    proprio_std_P: np.ndarray

    @classmethod
    def measure(cls, actions_ND: np.ndarray, proprio_NP: np.ndarray) -> Statistics:
        """Statistics of demonstrations: all steps N in one axis."""
        low_D, high_D = np.quantile(actions_ND, [0.01, 0.99], axis=0)
        middle_D = 0.5 * (low_D + high_D)
        half_D = 0.5 * np.maximum(high_D - low_D, SMALLEST_RANGE)
        std_P = np.maximum(proprio_NP.std(0), SMALLEST_DEVIATION)
        vectors = middle_D - half_D, middle_D + half_D, proprio_NP.mean(0), std_P
        return cls(*(np.asarray(vector, np.float32) for vector in vectors))

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Statistics:
        """Strict inverse of ``arrays``."""
        names = [f.name for f in fields(cls)]
        if sorted(arrays) != sorted(names):
            raise UserError(f"statistics: expected the arrays {names}, got {sorted(arrays)}; write the bundle again")
        for name in names:
            if arrays[name].ndim != 1 or not np.isfinite(arrays[name]).all():
                raise UserError(f"statistics: expected finite vectors, {name} is not one; write the bundle again")
        statistics = cls(**{name: np.asarray(arrays[name], np.float32) for name in names})
        if not (statistics.action_high_D > statistics.action_low_D).all() or not (statistics.proprio_std_P > 0).all():
            raise UserError("statistics: expected high above low and deviations above 0; write the bundle again")
        return statistics

    def arrays(self) -> dict[str, np.ndarray]:
        """The vectors by name, as a bundle stores them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: dict) -> Statistics:
        """Statistics of a bundle; UserError says what is missing or malformed."""
        try:
            arrays = {name: np.asarray(values, np.float32) for name, values in data.items()}
        except (TypeError, ValueError):
            raise UserError("statistics: expected lists of numbers, got other things; write the bundle again") from None
        return cls.from_arrays(arrays)

    def to_json(self) -> dict[str, list[float]]:
        """The vectors as lists; float32 values survive the round trip exactly."""
        return {name: values.astype(np.float64).tolist() for name, values in self.arrays().items()}

    @property
    def digest(self) -> str:
        """Sixteen hex digits of the exact float32 values; weights carry those they were trained with."""
        sha = hashlib.sha256()
        for name, values in sorted(self.arrays().items()):
            sha.update(name.encode() + np.ascontiguousarray(values, "<f4").tobytes())
        return sha.hexdigest()[:16]

    def require(self, digest: str, what: str) -> None:
        """Refuse weights (``what``) that were trained with other statistics."""
        if digest != self.digest:
            raise UserError(
                f"statistics: {what} was trained with {digest or 'none'}, the bundle carries {self.digest}; "
                "use the statistics written with these weights"
            )

    def normalise_actions(self, actions: np.ndarray) -> np.ndarray:
        """(..., D) in metres, radians and openness to about [-1, 1]."""
        scaled = 2.0 * (actions - self.action_low_D) / (self.action_high_D - self.action_low_D) - 1.0
        return scaled.astype(np.float32)

    def restore_actions(self, normalised: np.ndarray) -> np.ndarray:
        """Inverse of ``normalise_actions``; openness is kept within 0 and 1."""
        span_D = self.action_high_D - self.action_low_D
        actions = 0.5 * (np.asarray(normalised, np.float64) + 1.0) * span_D + self.action_low_D
        actions[..., -1] = np.clip(actions[..., -1], 0.0, 1.0)
        return actions

    def normalise_proprio(self, proprio: np.ndarray) -> np.ndarray:
        """(..., P) to zero mean and unit deviation."""
        return ((proprio - self.proprio_mean_P) / self.proprio_std_P).astype(np.float32)
