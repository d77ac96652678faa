"""What the controller does to servoJ targets before the joints see them.

A critically damped second-order follower whose lag on a ramp is ``lookahead_time`` at the default gain,
then the joint speed and acceleration limits. The wire emulator and the fast environment share it, so a
chunk moves the arm identically in both.
"""

import dataclasses

import numpy as np

REFERENCE_GAIN = 300.0


@dataclasses.dataclass(frozen=True)
class ServoConfig:
    """Arguments of servoJ: ``lookahead_time`` (s, 0.03..0.2) and ``gain`` (100..2000), and joint acceleration."""

    lookahead_time: float = 0.03
    gain: float = 300.0
    max_acceleration: float = 40.0  # rad/s^2


class ServoJ:
    """Follows joint targets; one ``step`` per controller tick."""

    def __init__(self, max_speed: np.ndarray, period: float = 0.002, config: ServoConfig = ServoConfig()):
        """``max_speed`` (6,) rad/s, ``period`` of a tick in s."""
        self.max_speed = np.asarray(max_speed, dtype=float)
        self.period = period
        self.q = np.zeros(6)
        self.qd = np.zeros(6)
        self.configure(config)

    def configure(self, config: ServoConfig) -> None:
        """Change lookahead and gain between ticks; position and speed carry on."""
        self.config = config
        self._omega = 2.0 / config.lookahead_time * np.sqrt(config.gain / REFERENCE_GAIN)
        self._decay = np.exp(-self._omega * self.period)
        self._max_change = config.max_acceleration * self.period

    def reset(self, q: np.ndarray, qd: np.ndarray | None = None) -> None:
        """Start from joint positions (6,) rad and speeds (6,) rad/s (default: at rest)."""
        self.q = np.array(q, dtype=float)
        self.qd = np.zeros(6) if qd is None else np.array(qd, dtype=float)

    def step(self, q_target: np.ndarray) -> np.ndarray:
        """Advance one tick towards ``q_target`` (6,) rad; returns the joint reference (6,).

        Exact for a target held over the tick: with e = q - target, e(t) = (e0 + (v0 + w e0) t) exp(-w t).
        """
        error = self.q - q_target
        slope = self.qd + self._omega * error
        moved = (error + slope * self.period) * self._decay + q_target
        speed = (moved - self.q) / self.period
        end_speed = (slope - self._omega * (error + slope * self.period)) * self._decay
        low = np.maximum(self.qd - self._max_change, -self.max_speed)
        high = np.minimum(self.qd + self._max_change, self.max_speed)
        if np.all(end_speed >= low) and np.all(end_speed <= high) and np.all(np.abs(speed) <= self.max_speed):
            self.q, self.qd = moved, end_speed
        else:
            limited = np.minimum(np.maximum(end_speed, low), high)
            self.q = self.q + 0.5 * (self.qd + limited) * self.period
            self.qd = limited
        return self.q
