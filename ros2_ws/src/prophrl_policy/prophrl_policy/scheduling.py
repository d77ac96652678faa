"""When to ask the policy for its next chunk: pure logic on measured ages and latencies.

Times are monotonic seconds. A chunk starts at the stamp of the observation it was computed from;
``execute_steps`` later the policy shall look again. The chunk arrives ``age + latency`` after that
stamp, the arm drops the steps that are past by then, and the rest must outlast the next cycle.
"""

from __future__ import annotations

import collections
import enum
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScheduleConfig:
    """Seconds and steps; ``slack`` forgives camera jitter when frames and re-planning share a period."""

    step_period: float = 0.1
    chunk_steps: int = 20
    execute_steps: int = 8
    max_observation_age: float = 0.5
    slack: float = 0.02

    def __post_init__(self) -> None:
        if not 1 <= self.execute_steps <= self.chunk_steps:
            raise ValueError(f"execute_steps must be in 1..{self.chunk_steps}, got {self.execute_steps}")


class Decision(enum.Enum):
    INFER = "infer"
    NO_OBSERVATION = "no observation since the episode started"
    STALE = "newest observation is too old"
    NOT_DUE = "the present chunk is still good"


class ChunkScheduler:
    """Decides for one episode; ``restart`` at each new one."""

    def __init__(self, config: ScheduleConfig) -> None:
        self.config = config
        self.latency = LatencyWindow()
        self.restart()

    def restart(self) -> None:
        """Forget the last chunk: the next usable observation is due at once."""
        self._last_stamp = -math.inf

    def decide(self, now: float, newest_stamp: float | None) -> Decision:
        """Whether to infer now on the observation stamped ``newest_stamp``."""
        config = self.config
        if newest_stamp is None or newest_stamp <= self._last_stamp:
            return Decision.NO_OBSERVATION if newest_stamp is None else Decision.NOT_DUE
        if now - newest_stamp > config.max_observation_age:
            return Decision.STALE
        if newest_stamp - self._last_stamp >= config.execute_steps * config.step_period - config.slack:
            return Decision.INFER
        runs_dry = self._last_stamp + config.chunk_steps * config.step_period
        if now + self.latency.quantile(0.99) + config.step_period >= runs_dry:
            return Decision.INFER
        return Decision.NOT_DUE

    def sent(self, observation_stamp: float, latency: float) -> None:
        """A chunk for this observation went out after ``latency`` seconds of inference."""
        self._last_stamp = observation_stamp
        self.latency.add(latency)


class LatencyWindow:
    """Quantiles of the last ``size`` latencies, in seconds; 0 while empty."""

    def __init__(self, size: int = 200) -> None:
        self._values: collections.deque[float] = collections.deque(maxlen=size)

    def add(self, seconds: float) -> None:
        self._values.append(seconds)

    def quantile(self, q: float) -> float:
        return float(np.quantile(tuple(self._values), q)) if self._values else 0.0
