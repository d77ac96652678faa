"""Commanded against measured motion of one trial."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

from prophrl_bringup.report.trial import Trial  # noqa: E402

_AXES = ("x", "y", "z")


def draw_motion(path: Path, trial: Trial) -> None:
    """Write a PNG: TCP x, y, z and gripper openness over time, commanded and measured, with envelope events."""
    figure, axes = plt.subplots(4, 1, figsize=(9, 8), sharex=True, constrained_layout=True)
    for i, name in enumerate(_AXES):
        axes[i].plot(trial.commanded_t, trial.commanded_xyz[:, i], lw=1.4, label="commanded")
        axes[i].plot(trial.measured_t, trial.measured_xyz[:, i], lw=1.0, label="measured")
        axes[i].set_ylabel(f"TCP {name} [m]")
    axes[3].step(trial.commanded_t, trial.commanded_openness, where="post", lw=1.4, label="commanded")
    axes[3].plot(trial.gripper_t, trial.gripper_openness, lw=1.0, label="measured")
    axes[3].set_ylabel("gripper openness")
    axes[3].set_xlabel("time in trial [s]")
    for axis in axes:
        for t in trial.chunk_t:
            axis.axvline(t, color="0.85", lw=0.6, zorder=0)
        for t in trial.envelope_t:
            axis.axvline(t, color="tab:red", lw=0.8, alpha=0.6)
        axis.grid(alpha=0.2)
    axes[0].legend(loc="upper right", fontsize=8)
    error = trial.tracking_error_mm()
    axes[0].set_title(
        f"{trial.meta.episode_id}: {trial.meta.outcome}; tracking error p50 {np.median(error):.1f} mm, "
        f"max {error.max():.1f} mm" if len(error) else f"{trial.meta.episode_id}: no motion recorded",
        fontsize=9,
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)
