"""How late a camera's stamps are: the motion in its pictures against the motion of the arm.

The mean optical flow between two pictures is, for motions of some centimetres, a linear function of how far the
tool went between their exposures. So the delay is the shift of the stamps at which that linear function fits best.
"""

import dataclasses

import cv2
import numpy as np
from prophrl_core.errors import UserError

_SMALL = (160, 120)
_EARLIEST, _LATEST, _STEP = -0.06, 0.30, 0.001  # s
_FEWEST = 40  # pictures
_LONGEST_GAP = 0.12  # s between two pictures that the flow can bridge
_TRIMMED = 0.1  # share of the flows left out
_LEAST_FIT = 0.5  # share of the flow's variance that the arm's motion has to explain


@dataclasses.dataclass(frozen=True)
class Delay:
    """``seconds`` by which stamps are late; ``fit`` the share of the flow explained, 0..1; ``pictures`` used."""

    seconds: float
    fit: float
    pictures: int


def small_grey(image: np.ndarray) -> np.ndarray:
    """What of a picture (H, W[, 3]) the flow is computed on."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, _SMALL, interpolation=cv2.INTER_AREA)


def mean_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean motion (2,) px between two results of ``small_grey``."""
    return cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.1, 0).mean((0, 1))


def measure(stamps_F: np.ndarray, flow_F2: np.ndarray, times_S: np.ndarray, places_S3: np.ndarray) -> Delay:
    """The delay of pictures stamped ``stamps_F`` (s), ``flow_F2[i]`` being the flow from picture i - 1 to i (the
    first row
    is not used), while the tool was at ``places_S3`` (m) at ``times_S``. UserError when the two do not go together."""
    inside = (stamps_F[:-1] - _LATEST > times_S[0]) & (stamps_F[1:] - _EARLIEST < times_S[-1])
    inside &= np.diff(stamps_F) < _LONGEST_GAP
    if inside.sum() < _FEWEST:
        raise UserError(
            f"latency: expected {_FEWEST} pictures or more during the motion, got {int(inside.sum())}; see that the "
            f"camera streams"
        )
    flow = flow_F2[1:][inside] - flow_F2[1:][inside].mean(0)
    shifts = np.arange(_EARLIEST, _LATEST, _STEP)
    fits = np.array(
        [_fit(flow, stamps_F[:-1][inside] - d, stamps_F[1:][inside] - d, times_S, places_S3) for d in shifts]
    )
    best = int(np.argmax(fits))
    if fits[best] < _LEAST_FIT or best in (0, len(shifts) - 1):
        raise UserError(
            f"latency: expected the pictures to move with the arm, the arm explains {100 * max(0.0, fits[best]):.0f} "
            f"% of the flow; "
            "let the camera see the arm, keep everything else still and take the light steady"
        )
    a, b, c = fits[best - 1 : best + 2]
    return Delay(float(shifts[best] + 0.5 * _STEP * (a - c) / (a - 2 * b + c)), float(fits[best]), int(inside.sum()))


def _fit(flow_N2, begin_N, end_N, times_S, places_S3) -> float:
    """Share of the flow's variance explained by the tool's way between two times, through the best linear map."""
    way = np.stack(
        [np.interp(end_N, times_S, places_S3[:, k]) - np.interp(begin_N, times_S, places_S3[:, k]) for k in range(3)],
        -1,
    )
    way, kept = way - way.mean(0), np.arange(len(way))
    for _ in range(2):  # the second time without the pairs that fit worst: flow fails on some
        weights, *_ = np.linalg.lstsq(way[kept], flow_N2[kept], rcond=1e-3)
        left = np.sum((flow_N2 - way @ weights) ** 2, axis=1)
        kept = np.argsort(left)[: int(np.ceil((1 - _TRIMMED) * len(left)))]
    return 1.0 - float(np.sum(left[kept]) / max(1e-12, np.sum(flow_N2[kept] ** 2)))


def following(t_command_C: np.ndarray, q_command_CQ: np.ndarray, times_S: np.ndarray, joints_SQ: np.ndarray) -> float:
    """By how much (s) measured joints are behind commanded ones: the shift that leaves least between them."""
    shifts = np.arange(0.0, _LATEST, _STEP)
    inside = (times_S - _LATEST > t_command_C[0]) & (times_S < t_command_C[-1])
    if inside.sum() < _FEWEST:
        raise UserError(
            f"latency: expected {_FEWEST} joint states or more during the motion, got {int(inside.sum())}; see arm_node"
        )
    left = [
        sum(
            np.sum((np.interp(times_S[inside] - d, t_command_C, q_command_CQ[:, k]) - joints_SQ[inside, k]) ** 2)
            for k in range(6)
        )
        for d in shifts
    ]
    return float(shifts[int(np.argmin(left))])
