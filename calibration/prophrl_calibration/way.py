"""The slow way from one tool pose to the next: straight, from rest to rest, as chunks of tool-frame steps."""

import dataclasses

import numpy as np
from prophrl_cell.arm.envelope import Envelope
from prophrl_core import action, se3
from prophrl_core.ur_kinematics import nearest_inverse

_STEP = 0.1  # s
_PEAK = 1.875  # of minimum jerk, over its mean speed


@dataclasses.dataclass(frozen=True)
class Pace:
    """Fastest the tool moves (m/s) and turns (rad/s) between pictures."""

    speed: float = 0.15
    turn: float = 0.6


def seconds(T_from: np.ndarray, T_to: np.ndarray, pace: Pace) -> float:
    """How long the way takes."""
    far = np.linalg.norm(T_to[:3, 3] - T_from[:3, 3]) / pace.speed
    turned = se3.rotation_angle(T_from[:3, :3].T @ T_to[:3, :3]) / pace.turn
    return max(0.6, _PEAK * float(max(far, turned)))


def chunks(
    T_from: np.ndarray, T_to: np.ndarray, pace: Pace, most_steps: int, openness: float = 1.0
) -> list[np.ndarray]:
    """Actions (n, 7) of the chunks, n at most ``most_steps``; each begins and ends at rest."""
    steps = int(np.ceil(seconds(T_from, T_to, pace) / _STEP))
    pieces = int(np.ceil(steps / most_steps))
    ends = [se3.interpolate(T_from, T_to, s) for s in np.linspace(0, 1, pieces + 1)]
    made = []
    for a, b in zip(ends, ends[1:]):
        n = max(2, int(np.ceil(seconds(a, b, pace) / _STEP)))
        s = np.linspace(0, 1, min(n, most_steps) + 1)
        poses = [se3.interpolate(a, b, v) for v in s**3 * (10 - 15 * s + 6 * s * s)]
        made.append(np.array([action.delta(p, q, openness) for p, q in zip(poses, poses[1:])]))
    return made


def refused(envelope: Envelope, T_from: np.ndarray, T_to: np.ndarray, q_from: np.ndarray) -> str:
    """Why the envelope would not let the arm go straight there; empty when it would."""
    T_tcp_tool0, q, path = se3.inverse(envelope.T_tool0_tcp), np.asarray(q_from, float), []
    for s in np.linspace(0, 1, 25):
        here = nearest_inverse(envelope.model, se3.interpolate(T_from, T_to, s) @ T_tcp_tool0, q)
        if here is None or np.max(np.abs(here - q)) > 0.5:
            return "the arm cannot follow the straight line"
        path.append(here)
        q = here
    found = envelope.check_path(np.array(path))
    return "" if found is None else found.detail
