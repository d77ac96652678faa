"""How to pull the tissue out: over its edge, down, pinch, pull straight up."""

import numpy as np

from prophrl_sim.env import CellEnv
from prophrl_sim.experts.phases import Phase, tool_down

_BELOW_EDGE = 0.016  # m, pinch centre under the tissue's upper edge


def phases(env: CellEnv) -> list[Phase]:
    """The plan; the fingers stand across the sheet."""
    box = env.truth()["box"]
    yaw = float(np.arctan2(box[1, 0], box[0, 0]))
    edge = env.truth()["tissue"][:3, 3].copy()

    def over(height: float):
        target = tool_down(edge + [0, 0, height - _BELOW_EDGE], yaw)
        return lambda: target

    pull = env.task.objects["tissue"].size[0] + env.task.success["clearance"] + 0.05
    return [
        Phase(over(0.10), 1.0, 0.15, tolerance=0.02, free=True),
        Phase(over(0.05), 1.0, 0.08, tolerance=0.008),
        Phase(over(0.0), 1.0, 0.05),
        Phase(None, 0.0, 0.05, dwell=0.9),
        Phase(over(pull), 0.0, 0.09),
    ]
