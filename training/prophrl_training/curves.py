"""A picture of a training run's curve."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def plot_curve(curve: Path, picture: Path, loss: str = "flow-matching loss") -> None:
    """Loss and held-out loss of ``curve`` (the CSV of a training run) over steps, as a PNG; ``loss`` names it."""
    from matplotlib.figure import Figure

    with open(curve, newline="") as stream:
        rows = list(csv.DictReader(stream))
    column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(column["step"], column["loss"], label="training")
    held_out = np.isfinite(column["validation_loss"])
    axes.semilogy(column["step"][held_out], column["validation_loss"][held_out], "o-", label="held-out episodes")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel(loss)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=100, metadata={"Software": ""})
