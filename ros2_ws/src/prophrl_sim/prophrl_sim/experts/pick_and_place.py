"""How to put one object on another: the cube on the pad, the bowl (by its rim) on the plate."""

from typing import Callable

import numpy as np

from prophrl_sim.env import CellEnv
from prophrl_sim.experts.phases import Phase, tool_down

_CARRY = 0.10  # m, lift while carrying


def cube_phases(env: CellEnv) -> list[Phase]:
    """Grasp across the two faces nearest to the fingers, let go just above the pad."""
    edge = env.task.objects["cube"].size[0]

    def grasp() -> np.ndarray:
        T = env.truth()["cube"]
        yaw = np.arctan2(T[1, 0], T[0, 0])
        yaw = (yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
        return tool_down([T[0, 3], T[1, 3], edge / 2], yaw)

    return _pick_and_place(env, grasp, "cube", "pad", 0.003)


def bowl_phases(env: CellEnv) -> list[Phase]:
    """Grasp the rim on the side of the plate, one finger inside."""
    rim, height = env.task.objects["bowl"].size

    def grasp() -> np.ndarray:
        x, y, z = env.truth()["bowl"][:3, 3]
        return tool_down([x, y + rim - 0.004, height - 0.010])

    return _pick_and_place(env, grasp, "bowl", "plate", 0.004)


def _pick_and_place(env: CellEnv, grasp: Callable[[], np.ndarray], what: str, where: str, gap: float) -> list[Phase]:
    """Phases from above the object to above the target, released ``gap`` (m) over the height it was grasped at."""
    plan: dict[str, np.ndarray] = {}

    def raised(height: float) -> Callable[[], np.ndarray]:
        def target() -> np.ndarray:
            T = grasp()
            T[2, 3] += height
            return T

        return target

    def lifted() -> np.ndarray:
        if "lift" not in plan:
            plan["lift"] = env.commanded_pose.copy()
            plan["lift"][2, 3] += _CARRY
        return plan["lift"].copy()

    def over_target(height: float) -> Callable[[], np.ndarray]:
        def target() -> np.ndarray:
            if "held" not in plan:  # the object's place in the grip, read once it hangs still
                plan["held"] = env.plant.tcp_pose[:3, 3] - env.truth()[what][:3, 3]
            T = plan["lift"].copy()
            T[:2, 3] = (env.truth()[where][:3, 3] + plan["held"])[:2]
            T[2, 3] += height - _CARRY
            return T

        return target

    return [
        Phase(raised(0.12), 1.0, 0.16, tolerance=0.02, free=True),
        Phase(raised(0.06), 1.0, 0.10, tolerance=0.008),
        Phase(raised(0.0), 1.0, 0.06, tolerance=0.003),
        Phase(None, 0.0, 0.05, dwell=0.6, wait_for=lambda: env.plant.object_detected),
        Phase(lifted, 0.0, 0.10, dwell=0.2),
        Phase(over_target(_CARRY), 0.0, 0.16, free=True, tolerance=0.02),
        Phase(over_target(0.04), 0.0, 0.10),
        Phase(over_target(gap), 0.0, 0.06, tolerance=0.003, dwell=0.2),
        Phase(None, 1.0, 0.05, dwell=0.5),
        Phase(over_target(0.12), 1.0, 0.12),
    ]
