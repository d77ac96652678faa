"""Moves of the arm's own in joint space, such as the way home: minimum jerk between two rests."""

import math

import numpy as np

from prophrl_cell.arm.envelope import Envelope

_PATH_SAMPLES = 60
_SHORTEST = 0.5  # s, so that a move of nothing is still seen in the status


def rest_to_rest(q_start: np.ndarray, q_goal: np.ndarray, envelope: Envelope, speed: float) -> "JointMove":
    """The joint move (6,) to (6,), no joint faster than ``speed`` rad/s, that keeps the envelope's bounds."""
    span = np.abs(np.asarray(q_goal) - q_start)
    seconds = max(
        float(np.max(1.875 * span / np.minimum(speed, envelope.joint_speed))),
        math.sqrt(float(np.max(5.7736 * span / envelope.joint_acceleration))),
        _SHORTEST,
    )
    move = JointMove(np.array(q_start, dtype=float), np.array(q_goal, dtype=float), seconds)
    s = np.linspace(0.0, 1.0, _PATH_SAMPLES)
    place = np.array([envelope.tcp(move.at(t * seconds))[:3, 3] for t in s])
    dt = seconds / (_PATH_SAMPLES - 1)
    velocity = np.diff(place, axis=0) / dt
    fastest = float(np.max(np.linalg.norm(velocity, axis=1)))
    hardest = float(np.max(np.linalg.norm(np.diff(velocity, axis=0) / dt, axis=1)))
    slower = max(
        1.0, 1.05 * fastest / envelope.spec.tcp_speed, math.sqrt(1.1 * hardest / envelope.spec.tcp_acceleration)
    )
    return JointMove(move.start, move.goal, seconds * slower)


class JointMove:
    """Minimum-jerk motion (6,) from ``start`` to ``goal`` in ``seconds``."""

    def __init__(self, start: np.ndarray, goal: np.ndarray, seconds: float):
        self.start, self.goal, self.seconds = start, goal, seconds

    def at(self, t: float) -> np.ndarray:
        """Joints (6,) ``t`` seconds after the start."""
        s = min(max(t / self.seconds, 0.0), 1.0)
        return self.start + (self.goal - self.start) * (s * s * s * (10.0 - 15.0 * s + 6.0 * s * s))

    def path(self) -> np.ndarray:
        """Points (N, 6) along the way, for ``Envelope.check_path``."""
        return np.array([self.at(t) for t in np.linspace(0.0, self.seconds, _PATH_SAMPLES)])
