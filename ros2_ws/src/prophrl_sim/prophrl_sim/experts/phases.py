"""Scripted experts: a list of phases, each a target that is chased in closed loop, one 10 Hz action at a time."""

import dataclasses
from typing import Callable, Iterator

import numpy as np
from prophrl_core import action, se3

from prophrl_sim.env import CellEnv
from prophrl_sim.imperfection import Imperfections, Person

ACCELERATION = 0.6  # m/s^2
ANGULAR_SPEED = 0.8  # rad/s
TOOL_DOWN = se3.rotvec_to_matrix(np.array([np.pi, 0.0, 0.0]))


@dataclasses.dataclass(frozen=True)
class Phase:
    """Chase ``target()`` (T_base_tcp, re-read every step) until within ``tolerance`` (m), then stay ``dwell`` s.

    A ``target`` of None means staying where the phase before ended.

    ``free`` phases carry the person's bias and pauses; the others only the error of the final aim.
    """

    target: Callable[[], np.ndarray] | None
    openness: float
    speed: float  # m/s
    tolerance: float = 0.006
    dwell: float = 0.0
    free: bool = False
    wait_for: Callable[[], bool] = lambda: True  # stay until this holds too, at most 3 s


def tool_down(position, yaw: float = 0.0) -> np.ndarray:
    """T_base_tcp (4, 4) with the tool straight down; at yaw 0 the fingers slide along base y."""
    return se3.transform(se3.rotvec_to_matrix(np.array([0.0, 0.0, yaw])) @ TOOL_DOWN, np.asarray(position))


def follow(
    env: CellEnv, phases: list[Phase], rng: np.random.Generator, imperfections: Imperfections
) -> Iterator[np.ndarray]:
    """Actions (7,) that carry out ``phases`` one after another, then hold the last target for ever."""
    period = env.task.action.step_period
    person = Person(imperfections, rng, period)
    velocity = np.zeros(3)
    for phase in phases:
        start = env.commanded_pose
        stayed, needed, longest = 0, round(phase.dwell / period), round(phase.dwell / period + 3.0 / period)
        while True:
            here = env.commanded_pose
            target = start if phase.target is None else person.aim_at(phase.target(), phase.free)
            arrived = np.linalg.norm(target[:3, 3] - here[:3, 3]) < phase.tolerance
            arrived = arrived and se3.rotation_angle(here[:3, :3].T @ target[:3, :3]) < 0.03
            if arrived or stayed:
                if stayed >= needed and (phase.wait_for() or stayed >= longest):
                    break
                stayed += 1
            paused = phase.free and person.pausing()
            goal = here if paused else target
            velocity = _approach(velocity, goal[:3, 3] - here[:3, 3], phase.speed * person.speed, period)
            moved = velocity * period + (0.0 if stayed or paused else person.tremor())
            turn = se3.matrix_to_rotvec(here[:3, :3].T @ goal[:3, :3])
            angle = np.linalg.norm(turn)
            turn *= min(1.0, ANGULAR_SPEED * period / max(angle, 1e-9))
            after = se3.transform(here[:3, :3] @ se3.rotvec_to_matrix(turn), here[:3, 3] + moved)
            yield action.delta(here, after, phase.openness)
    while True:
        yield action.delta(env.commanded_pose, env.commanded_pose, phases[-1].openness)


def _approach(velocity: np.ndarray, error: np.ndarray, speed: float, period: float) -> np.ndarray:
    """Next velocity (3,) towards a point ``error`` (3,) away: brakes in time, changes by at most ACCELERATION."""
    distance = np.linalg.norm(error)
    wanted = min(speed, np.sqrt(ACCELERATION * distance), distance / period)
    change = error / max(distance, 1e-9) * wanted - velocity
    size = np.linalg.norm(change)
    return velocity + change * min(1.0, ACCELERATION * period / max(size, 1e-9))
