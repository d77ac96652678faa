"""How to grasp the bottle: above it, down to its upper body, close, lift."""

import numpy as np

from prophrl_sim.env import CellEnv
from prophrl_sim.experts.phases import Phase, tool_down

BELOW_TOP = 0.064  # m, pinch centre under the bottle's top


def phases(env: CellEnv) -> list[Phase]:
    """The plan, on the bottle's true position as it is at each step."""
    top = env.task.objects["bottle"].size[1]
    start = env.truth()["bottle"][:3, 3].copy()

    def above(height):
        def target() -> np.ndarray:
            x, y, _ = env.truth()["bottle"][:3, 3]
            return tool_down([x, y, height])

        return target

    grasp = top - BELOW_TOP
    lifted = [start[0], start[1], grasp + env.task.success["lift"] + 0.06]
    return [
        Phase(above(grasp + 0.12), 1.0, 0.15, tolerance=0.02, free=True),
        Phase(above(grasp + 0.07), 1.0, 0.08, tolerance=0.008),
        Phase(above(grasp), 1.0, 0.05),
        Phase(None, 0.0, 0.05, dwell=0.6, wait_for=lambda: env.plant.object_detected),
        Phase(lambda: tool_down(lifted), 0.0, 0.08),
    ]
