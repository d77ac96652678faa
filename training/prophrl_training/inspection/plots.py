"""PNG pictures of the inspection, as bytes."""

import io

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from prophrl_core.action import ACTION_NAMES

from prophrl_training.inspection.findings import Inspected
from prophrl_training.inspection.recording import Motion

COLOURS = {"success": "tab:green", "failure": "tab:orange", "fault": "tab:red", "aborted": "tab:red"}
_UNITS = ("m",) * 3 + ("rad",) * 3 + ("",)


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    return buffer.getvalue()


def trajectories(found: list[Inspected]) -> bytes:
    """All measured TCP paths from above (x, y) and from the side (x, z), coloured by outcome; a dot at each start."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6))
    figure.subplots_adjust(left=0.07, right=0.98, top=0.93, bottom=0.11, wspace=0.2)
    names = set()
    for item in found:
        colour = COLOURS.get(item.recording.outcome, "tab:blue")
        for motion in item.recording.motions:
            p = motion.measured[:, :3, 3]
            for axis, (i, j) in zip(axes, ((0, 1), (0, 2)), strict=True):
                label = item.recording.outcome if item.recording.outcome not in names and axis is axes[0] else None
                axis.plot(p[:, i], p[:, j], lw=0.8, alpha=0.6, color=colour, label=label)
                axis.plot(p[0, i], p[0, j], "o", ms=3, color=colour)
            names.add(item.recording.outcome)
    for axis, title, label in zip(axes, ("from above", "from the side"), ("y [m]", "z [m]"), strict=True):
        axis.set(title=title, xlabel="x [m]", ylabel=label)
        axis.set_aspect("equal", adjustable="datalim")
        axis.grid(alpha=0.2)
    axes[0].legend(fontsize=8)
    return _png(figure)


def action_histograms(found: list[Inspected]) -> bytes:
    """Every dimension of the executed actions over all steps, logarithmic counts."""
    actions = np.concatenate([m.actions for i in found for m in i.recording.motions])
    return _histograms(
        [(f"{n} [{u}]" if u else n, actions[:, k]) for k, (n, u) in enumerate(zip(ACTION_NAMES, _UNITS, strict=True))]
    )


def state_histograms(found: list[Inspected]) -> bytes:
    """Measured TCP position, speed and gripper openness."""
    motions = [m for i in found for m in i.recording.motions]
    place = np.concatenate([m.measured[:, :3, 3] for m in motions])
    speed = [
        np.linalg.norm(np.diff(m.measured[:, :3, 3], axis=0), axis=1) / np.maximum(np.diff(m.measured_t), 1e-6)
        for m in motions
    ]
    columns = [(f"TCP {axis} [m]", place[:, k]) for k, axis in enumerate("xyz")]
    columns += [("TCP speed [m/s]", np.concatenate(speed)), ("openness", np.concatenate([m.openness for m in motions]))]
    return _histograms(columns)


def _histograms(columns: list[tuple[str, np.ndarray]]) -> bytes:
    figure, axes = plt.subplots(1, len(columns), figsize=(2.1 * len(columns), 2.2))
    figure.subplots_adjust(left=0.04, right=0.99, top=0.86, bottom=0.16, wspace=0.3)
    for axis, (name, values) in zip(axes, columns, strict=True):
        known = values[np.isfinite(values)]
        if len(known):
            axis.hist(known, bins=40, color="tab:blue")
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.7)
        axis.set_title(name, fontsize=8)
        axis.tick_params(which="both", labelsize=6)
    return _png(figure)


def motion(motions: tuple[Motion, ...]) -> bytes:
    """Integrated executed actions over the measured TCP, and the gripper, one column per arm."""
    figure, axes = plt.subplots(4, len(motions), figsize=(5.2 * len(motions), 4.4), sharex=True, squeeze=False)
    figure.subplots_adjust(left=0.15 / len(motions), right=0.99, top=0.94, bottom=0.09, hspace=0.12, wspace=0.2)
    for column, shown in zip(axes.T, motions, strict=True):
        for k, axis in enumerate("xyz"):
            column[k].plot(shown.measured_t, shown.measured[:, k, 3], lw=1.0, label="measured")
            column[k].plot(shown.step_t, shown.integrated[:, k, 3], lw=1.0, ls="--", label="integrated actions")
            column[k].set_ylabel(f"{axis} [m]", fontsize=8)
        column[3].plot(shown.measured_t, shown.openness, lw=1.0)
        column[3].step(shown.step_t, shown.actions[:, 6], where="pre", lw=1.0, ls="--")
        column[3].set_ylabel("openness", fontsize=8)
        column[3].set_xlabel("s", fontsize=8)
        column[0].set_title(shown.arm, fontsize=8)
        column[0].legend(fontsize=7, loc="upper right")
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.2)
    return _png(figure)
