"""Streams with times of their own onto one even time grid: the rules of conversion, as pure functions.

N samples of a stream, T rows, S executed steps. Times are seconds of one clock, poses T_base_tcp (4, 4).
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from prophrl_core import action, se3

NOBODY = -1  # control: no step was being executed
SLACK = 1e-6  # s, so that a grid point on a stream's last stamp counts as inside


@dataclasses.dataclass(frozen=True)
class Steps:
    """Control steps as the arm executed them, in order: ``source`` is ActionChunk.SOURCE_*."""

    begin_S: np.ndarray
    end_S: np.ndarray
    proposed_S7: np.ndarray
    executed_S7: np.ndarray
    source_S: np.ndarray

    @classmethod
    def chained(cls, end_S, proposed_S7, executed_S7, source_S, period: float) -> Steps:
        """Steps known by their ends: each begins where the one before ended, or a period earlier after a pause."""
        before_S = np.r_[-np.inf, end_S[:-1]]
        begin_S = np.where(end_S - before_S <= 1.6 * period, before_S, end_S - period)
        return cls(begin_S, end_S, proposed_S7, executed_S7, source_S)

    @property
    def linked_S(self) -> np.ndarray:
        """Whether a step begins where the one before ended, so that its beginning is known exactly."""
        return np.r_[False, self.begin_S[1:] == self.end_S[:-1]]


def grid(first: float, last: float, rate_hz: float) -> np.ndarray:
    """Times (T + 1,) from ``first`` in steps of the rate, the last of them not after ``last``: T whole steps."""
    steps = int(np.floor((last - first) * rate_hz + SLACK))
    return first + np.arange(max(0, steps) + 1) / rate_hz


def nearest(t_N: np.ndarray, times_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the sample nearest in time (the earlier of two as near), and how far off it is (s, T)."""
    after_T = np.clip(np.searchsorted(t_N, times_T), 1, max(1, len(t_N) - 1))
    if len(t_N) == 1:
        after_T = np.zeros(len(times_T), int)
    before_T = np.maximum(after_T - 1, 0)
    index_T = np.where(times_T - t_N[before_T] <= t_N[after_T] - times_T, before_T, after_T)
    return index_T, np.abs(t_N[index_T] - times_T)


def gap_around(t_N: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """Seconds between the samples on both sides of each time (T,); 0 on a sample, infinite outside the stream."""
    before_T = np.searchsorted(t_N, times_T + SLACK, side="right") - 1
    after_T = np.searchsorted(t_N, times_T - SLACK, side="left")
    inside_T = (before_T >= 0) & (after_T < len(t_N))
    gaps_T = t_N[np.clip(after_T, 0, len(t_N) - 1)] - t_N[np.clip(before_T, 0, len(t_N) - 1)]
    return np.where(inside_T, np.maximum(gaps_T, 0.0), np.inf)


def held(t_N: np.ndarray, values_N: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """The last value at or before each time; the first before the stream begins."""
    return values_N[np.maximum(np.searchsorted(t_N, times_T + SLACK, side="right") - 1, 0)]


def interpolated(t_N: np.ndarray, values_ND: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """Straight lines between samples (T, D)."""
    before_T, share_T = _between(t_N, times_T)
    a_TD, b_TD = values_ND[before_T], values_ND[before_T + 1]
    return a_TD + share_T[:, None] * (b_TD - a_TD)


def interpolated_poses(t_N: np.ndarray, poses_N44: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """Poses (T, 4, 4) between samples: positions on straight lines, rotations by slerp."""
    before_T, share_T = _between(t_N, times_T)
    a_T44, b_T44 = poses_N44[before_T], poses_N44[before_T + 1]
    turn_T3 = se3.matrix_to_rotvec(np.swapaxes(a_T44[:, :3, :3], -1, -2) @ b_T44[:, :3, :3])
    rotation_T33 = a_T44[:, :3, :3] @ se3.rotvec_to_matrix(share_T[:, None] * turn_T3)
    position_T3 = a_T44[:, :3, 3] + share_T[:, None] * (b_T44[:, :3, 3] - a_T44[:, :3, 3])
    return se3.transform(rotation_T33, position_T3)


def actions_between(poses_T44: np.ndarray, openness_T: np.ndarray) -> np.ndarray:
    """Float32 actions (T - 1, 7) from each pose to the next, openness as commanded at the end of the step.

    Each step starts from where the rounded ones before it lead, so integrating them never drifts.
    """
    actions_TD = np.empty((len(poses_T44) - 1, action.ACTION_DIMS), np.float32)
    reached = poses_T44[0]
    for i, goal in enumerate(poses_T44[1:]):
        actions_TD[i] = action.delta(reached, goal, openness_T[i + 1])
        reached = reached @ se3.pose_from_rotvec(actions_TD[i, :6].astype(float))
    return actions_TD


def integration_error(poses_T44: np.ndarray, actions_TD: np.ndarray) -> tuple[float, float]:
    """Largest distance (m) and angle (rad) between the poses and the integral of the actions from the first."""
    reached_T44, _ = action.integrate(poses_T44[0], actions_TD)
    wanted_T44 = poses_T44[1:]
    distance = np.linalg.norm(reached_T44[:, :3, 3] - wanted_T44[:, :3, 3], axis=1).max(initial=0.0)
    turn = se3.rotation_angle(np.swapaxes(reached_T44[:, :3, :3], -1, -2) @ wanted_T44[:, :3, :3])
    return float(distance), float(np.max(turn, initial=0.0))


def proposals(steps: Steps, times_T1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was proposed over each row (T, 7), NaN where less than half of it was, and who was in control (T,).

    A row that lies across two steps gets the share of each that falls into it, one after the other.
    """
    rows = len(times_T1) - 1
    proposed_T7 = np.full((rows, action.ACTION_DIMS), np.nan, np.float32)
    control_T = np.full(rows, NOBODY, np.int64)
    for row, (a, b) in enumerate(itertools.pairwise(times_T1)):
        overlap_S = np.minimum(steps.end_S, b) - np.maximum(steps.begin_S, a)
        touching = np.flatnonzero(overlap_S > 0)
        if overlap_S[touching].sum() < 0.5 * (b - a):
            continue
        control_T[row] = steps.source_S[touching[np.argmax(overlap_S[touching])]]
        pose = np.eye(4)
        for s in touching:
            share = overlap_S[s] / (steps.end_S[s] - steps.begin_S[s])
            pose = pose @ se3.pose_from_rotvec(share * steps.proposed_S7[s, :6].astype(float))
        proposed_T7[row] = np.append(se3.pose_to_rotvec(pose), steps.proposed_S7[touching[-1], 6])
    return proposed_T7, control_T


def execution_error(steps: Steps, t_N: np.ndarray, poses_N44: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (m) and angle (rad) between each linked step's executed action and the commanded motion meanwhile."""
    known_S = steps.linked_S & (steps.begin_S >= t_N[0]) & (steps.end_S <= t_N[-1])
    begin_S44 = interpolated_poses(t_N, poses_N44, steps.begin_S[known_S])
    end_S44 = interpolated_poses(t_N, poses_N44, steps.end_S[known_S])
    said_S44 = se3.pose_from_rotvec(steps.executed_S7[known_S, :6].astype(float))
    off_S44 = se3.inverse(said_S44) @ se3.inverse(begin_S44) @ end_S44
    return np.linalg.norm(off_S44[:, :3, 3], axis=1), se3.rotation_angle(off_S44[:, :3, :3])


def _between(t_N: np.ndarray, times_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sample before each time and the share of the way to the next; ends are held."""
    before_T = np.clip(np.searchsorted(t_N, times_T, side="right") - 1, 0, max(0, len(t_N) - 2))
    span_T = t_N[before_T + 1] - t_N[before_T]
    return before_T, np.clip((times_T - t_N[before_T]) / np.where(span_T > 0, span_T, 1.0), 0.0, 1.0)
