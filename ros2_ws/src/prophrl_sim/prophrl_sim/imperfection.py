"""The ways in which people demonstrate less than perfectly; all zero is the plain expert."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Imperfections:
    """Standard deviations unless said otherwise."""

    approach_bias: float = 0.0  # m, constant over an episode, gone at the final aim
    aim_error: float = 0.0  # m, of the final aim, each horizontal axis
    tremor: float = 0.0  # m per step, slowly varying
    pause_rate: float = 0.0  # pauses started per second of free motion
    pause_seconds: float = 0.5  # mean length of a pause
    speed_spread: float = 0.0  # of the episode's speed, relative

    @classmethod
    def human(cls) -> "Imperfections":
        """An unhurried person at a teleoperation device."""
        return cls(approach_bias=0.015, aim_error=0.004, tremor=0.0015, pause_rate=0.15, speed_spread=0.2)


class Person:
    """One episode's imperfections, drawn from ``rng``."""

    def __init__(self, imperfections: Imperfections, rng: np.random.Generator, step_period: float):
        self._i, self._rng, self._period = imperfections, rng, step_period
        self.bias = imperfections.approach_bias * rng.normal(size=3) * [1, 1, 0.5]
        self.aim = imperfections.aim_error * rng.normal(size=3) * [1, 1, 0.5]
        self.speed = float(np.clip(1 + imperfections.speed_spread * rng.normal(), 0.6, 1.4))
        self._shake = np.zeros(3)
        self._pause_left = 0

    def aim_at(self, target: np.ndarray, free: bool) -> np.ndarray:
        """Where the person aims when the right place is ``target`` (4, 4)."""
        aimed = target.copy()
        aimed[:3, 3] += self.bias if free else self.aim
        return aimed

    def tremor(self) -> np.ndarray:
        """This step's shake (3,), m: first-order noise with a memory of a few steps."""
        self._shake = 0.7 * self._shake + np.sqrt(1 - 0.49) * self._i.tremor * self._rng.normal(size=3)
        return self._shake

    def pausing(self) -> bool:
        """Whether the person is just thinking (asked once per step of free motion)."""
        if self._pause_left > 0:
            self._pause_left -= 1
        elif self._rng.random() < self._i.pause_rate * self._period:
            self._pause_left = int(np.ceil(self._rng.exponential(self._i.pause_seconds) / self._period))
        return self._pause_left > 0
