"""Do the executed actions, integrated, lead where the arm was measured to be?"""

import dataclasses

import numpy as np

from prophrl_training.embodiments.resample import along
from prophrl_training.inspection.recording import Motion

LATEST_S = 0.6  # the longest lag looked for
LAG_STEP_S = 0.01


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """Integrated executed actions against the measured TCP, m and s. ``rms`` and ``final`` are after the lag."""

    rms: float
    final: float
    lag: float


def mismatch(motion: Motion) -> Mismatch:
    """Compare at the ends of the steps; the lag is the delay of the arm that explains the difference best.

    nan when there are no steps or no measured poses.
    """
    if not len(motion.step_t) or len(motion.measured_t) < 2:
        return Mismatch(*[float("nan")] * 3)
    errors = {}
    for lag in np.arange(0.0, LATEST_S, LAG_STEP_S):
        at = motion.step_t + lag
        inside = at <= motion.measured_t[-1]
        if inside.sum() >= max(2, len(at) // 2):
            errors[float(lag)] = _distance(motion, at[inside], inside)
    if not errors:
        return Mismatch(*[float("nan")] * 3)
    rms = {lag: float(np.sqrt((error**2).mean())) for lag, error in errors.items()}
    best = min(rms, key=rms.get)
    return Mismatch(rms[best], float(errors[best][-1]), best)


def _distance(motion: Motion, at: np.ndarray, inside: np.ndarray) -> np.ndarray:
    rows = np.interp(at, motion.measured_t, np.arange(len(motion.measured_t)))
    measured = along(motion.measured, rows)
    return np.linalg.norm(measured[:, :3, 3] - motion.integrated[inside][:, :3, 3], axis=1)
