"""The control script's contact functions: move until something resists, and watch for contact during a move."""

from collections.abc import Iterator

import numpy as np

from prophrl_sim.controller.arm import Arm
from prophrl_sim.controller.motions import SpeedL
from prophrl_sim.controller.straight_program import move, stop

STOP_DECELERATION = 3.0  # m/s^2
RETURN_SPEED, RETURN_ACCELERATION = 0.25, 1.2  # m/s, m/s^2


class ContactWatch:
    """Waits until the tool is free, then until something resists it; ``steps`` says how many ticks ago that was."""

    def __init__(self, arm: Arm, direction: np.ndarray):
        """``direction`` (3,) in base; zeros mean the direction in which the TCP moves."""
        self._arm, self._direction = arm, direction
        self._was_free, self.steps = False, 0

    def tick(self) -> bool:
        """Once per controller cycle; True when contact was made."""
        direction = self._direction
        if not np.any(direction):
            direction = np.array(self._arm.kinematics.state(self._arm.reference.q, self._arm.reference.qd)[1][:3])
        steps = self._arm.contact_steps(direction)
        self._was_free = self._was_free or steps == 0
        self.steps = steps if self._was_free else 0
        return self.steps > 0


def retreat(arm: Arm, steps: int) -> Iterator[None]:
    """Stop and go back to where the contact was made."""
    touched = arm.joints_ago(steps)
    yield from stop(arm, STOP_DECELERATION, joints=False)
    yield from move(arm, True, touched.tolist(), RETURN_SPEED, RETURN_ACCELERATION)


def move_until_contact(arm: Arm, speed: np.ndarray, direction: np.ndarray, acceleration: float) -> Iterator[None]:
    """Move with twist ``speed`` (6,) until something resists along ``direction`` (3,; zeros: the motion's own)."""
    motion = SpeedL(arm.kinematics, arm.reference)
    motion.target, motion.acceleration = speed, acceleration
    if not np.any(direction):
        direction = speed[:3]
    arm.start(motion)
    while arm.contact_steps(direction) == 0:
        yield
    yield from retreat(arm, arm.contact_steps(direction))
