"""A person's hand on the simulated tool: a wrench for some seconds, asked for through the control port."""

import numpy as np

from prophrl_sim.control_port import number
from prophrl_sim.plant import Plant

MAX_FORCE, MAX_TORQUE, MAX_SECONDS = 500.0, 50.0, 60.0


class Hand:
    """``tick`` once per controller cycle; seconds are simulated ones."""

    def __init__(self, plant: Plant):
        self._plant = plant
        self._until: float | None = None

    def push(self, message: dict) -> dict:
        """``{"wrench": [fx, fy, fz, tx, ty, tz], "seconds": s}``, N and Nm in base axes; replaces the last push."""
        wrench = message.get("wrench")
        if not isinstance(wrench, list) or len(wrench) != 6:
            raise ValueError(f"wrench: expected 6 numbers (N, Nm in base), got {str(wrench)[:80]}")
        named = dict(zip(("fx", "fy", "fz", "tx", "ty", "tz"), wrench))
        most = {name: MAX_FORCE if name[0] == "f" else MAX_TORQUE for name in named}
        values = [number(named, name, 0.0, -most[name], most[name]) for name in named]
        self._until = self._plant.time + number(message, "seconds", 1.0, 0.0, MAX_SECONDS)
        self._plant.push(np.array(values, dtype=float))
        return {"ok": True}

    def tick(self) -> None:
        """Let go when the time is up, and after a reset, which sets the time back."""
        if self._until is not None and not self._until - MAX_SECONDS <= self._plant.time < self._until:
            self._until = None
            self._plant.push(None)
