"""What the controller does to servoJ targets before the joints see them.

A critically damped second-order follower whose lag on a ramp is ``lookahead_time`` at the default gain,
then the joint speed and acceleration limits. The wire emulator and the fast environment share it, so a
chunk moves the arm identically in both.
"""

import dataclasses
import math

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
        self._max_speed = [float(v) for v in max_speed]
        self.period = period
        self.configure(config)
        self.reset(np.zeros(6))

    def configure(self, config: ServoConfig) -> None:
        """Change lookahead and gain between ticks; position and speed carry on."""
        self.config = config
        w = 2.0 / config.lookahead_time * math.sqrt(config.gain / REFERENCE_GAIN)
        t = self.period
        decay = math.exp(-w * t)
        # [error, speed] after a tick with the target held: e(t) = (e0 + (v0 + w e0) t) exp(-w t).
        self._transition = ((1 + w * t) * decay, t * decay, -w * w * t * decay, (1 - w * t) * decay)
        self._max_change = config.max_acceleration * t

    @property
    def q(self) -> np.ndarray:
        """Joint reference (6,) rad."""
        return np.array(self._q)

    @property
    def qd(self) -> np.ndarray:
        """Speed of the joint reference (6,) rad/s."""
        return np.array(self._qd)

    def reset(self, q: np.ndarray, qd: np.ndarray | None = None) -> None:
        """Start from joint positions (6,) rad and speeds (6,) rad/s (default: at rest)."""
        self._q = [float(v) for v in q]
        self._qd = [0.0] * 6 if qd is None else [float(v) for v in qd]

    def step(self, q_target) -> np.ndarray:
        """Advance one tick towards ``q_target`` (6,) rad; returns the joint reference (6,).

        A joint whose exact motion would break a limit moves at the limited speed instead.
        """
        ee, ev, ve, vv = self._transition
        for i, (q, v, target, fastest) in enumerate(zip(self._q, self._qd, q_target, self._max_speed)):
            error = q - target
            end = ve * error + vv * v
            limited = min(max(end, v - self._max_change, -fastest), v + self._max_change, fastest)
            if limited == end:
                self._q[i] = target + ee * error + ev * v
            else:
                self._q[i] = q + 0.5 * (v + limited) * self.period
            self._qd[i] = limited
        return np.array(self._q)
