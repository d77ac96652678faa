"""Scripted experts on privileged state, one per task."""

from typing import Callable, Iterator

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec

from prophrl_sim.experts import grasp_bottle, pick_and_place, pullout_tissue
from prophrl_sim.experts.phases import follow
from prophrl_sim.imperfection import Imperfections

_PLANS = {
    "grasp_bottle": grasp_bottle.phases,
    "place_bowl": pick_and_place.bowl_phases,
    "place_cube": pick_and_place.cube_phases,
    "pullout_tissue": pullout_tissue.phases,
}


def expert_for(task: TaskSpec) -> Callable[..., Iterator[np.ndarray]]:
    """The expert of ``task``: call it with (env after reset, rng, imperfections); it yields actions (7,) for
    ``env.step``, and looks at the environment's state before each."""
    if task.name not in _PLANS:
        raise UserError(f"task '{task.name}': no expert; choose one of {', '.join(sorted(_PLANS))}")

    def expert(env, rng: np.random.Generator, imperfections: Imperfections = Imperfections()):
        return follow(env, _PLANS[task.name](env), rng, imperfections)

    return expert
