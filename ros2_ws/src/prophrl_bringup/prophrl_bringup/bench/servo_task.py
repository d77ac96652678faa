"""The motion that every contender of ``bench control`` commands: a slow sway of the tool, sideways."""

import math

import numpy as np

AMPLITUDE_M, FREQUENCY_HZ = 0.04, 0.25
LOOKAHEAD_S, GAIN = 0.05, 600.0  # servo arguments, the same for all


def sideways(t: float) -> float:
    """Displacement (m) along y at ``t`` seconds after the start; starts gently."""
    fade = min(1.0, t / 2.0)
    return AMPLITUDE_M * fade * math.sin(2.0 * math.pi * FREQUENCY_HZ * t)


def chunk(t: float, steps: int, period: float, openness: float) -> np.ndarray:
    """The same motion as actions (steps, 7) from ``t`` on, for a tool that points straight down at home."""
    actions_TD = np.zeros((steps, 7))
    actions_TD[:, 6] = openness
    for i in range(steps):
        actions_TD[i, 1] = -(sideways(t + (i + 1) * period) - sideways(t + i * period))
    return actions_TD
