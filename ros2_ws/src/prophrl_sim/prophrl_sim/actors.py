"""Who acts in episodes that a world model learns from: good, poor and aimless, so that it knows failures, too."""

from collections.abc import Iterator

import numpy as np

from prophrl_sim.env import CellEnv
from prophrl_sim.experts import expert_for
from prophrl_sim.imperfection import Imperfections

ACTORS = {"expert": 0.15, "person": 0.35, "misses": 0.3, "wanders": 0.2}  # share of the episodes
_AIM = {"expert": (0.0, 0.0), "person": (0.002, 0.012), "misses": (0.012, 0.04), "wanders": (0.004, 0.03)}  # m
_SPEED = np.array([0.008, 0.008, 0.008, 0.03, 0.03, 0.06])  # of wandering: m and rad a step, one standard deviation


def actions_of(actor: str, env: CellEnv, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Actions (7,) for ``env.step`` of one of ``ACTORS``, after a reset; without end."""
    low, high = _AIM[actor]
    aim = float(rng.uniform(low, high))
    imperfections = Imperfections(
        approach_bias=0.0 if actor == "expert" else 0.015, aim_error=aim, tremor=0.0 if actor == "expert" else 0.0015,
        pause_rate=0.1, speed_spread=0.2,
    )
    plan = expert_for(env.task)(env, rng, imperfections)
    yield from _wandering(plan, rng) if actor == "wanders" else plan


def _wandering(plan: Iterator[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The plan under slow random motion, with a gripper that now and then does something else for a while."""
    strength, drift, left, openness = rng.uniform(0.2, 1.0), np.zeros(6), 0, 0.0
    for action in plan:
        drift = 0.85 * drift + np.sqrt(1 - 0.85**2) * strength * _SPEED * rng.normal(size=6)
        if left == 0 and rng.random() < 0.02:
            left, openness = int(rng.integers(4, 20)), float(rng.choice([0.0, 1.0, rng.uniform()]))
        action = np.append(action[:6] + drift, openness if left else action[6])
        left = max(0, left - 1)
        yield action
