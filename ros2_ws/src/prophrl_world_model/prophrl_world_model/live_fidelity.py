"""Prophecy against reality while the cell runs: which pictures belong to a chunk's steps, and how far they differ.

Pictures are uint8 (H, W, 3) at the model's size; times are of ROS stamps, s. K step of a chunk, n compared steps.
"""

from __future__ import annotations

import bisect
import dataclasses
import math

import numpy as np

from prophrl_world_model.video_metrics import flow_errors, optical_flow, psnr


class RecentPictures:
    """Pictures in order of their stamps, the last ``seconds`` of them."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._stamps: list[float] = []
        self._pictures: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def newest(self) -> float:
        """The last stamp, -inf without pictures."""
        return self._stamps[-1] if self._stamps else -math.inf

    def copy(self) -> RecentPictures:
        """The same pictures, for another thread."""
        other = RecentPictures(self._seconds)
        other._stamps, other._pictures = self._stamps.copy(), self._pictures.copy()
        return other

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._pictures.clear()

    def add(self, stamp: float, picture_HW3: np.ndarray) -> None:
        """One more; ignored when it is older than the last, unless the clock was set back by more than is kept."""
        if stamp < self.newest - self._seconds:
            self.clear()
        if stamp <= self.newest:
            return
        self._stamps.append(stamp)
        self._pictures.append(picture_HW3)
        old = bisect.bisect_left(self._stamps, stamp - self._seconds)
        del self._stamps[:old], self._pictures[:old]

    def before(self, t: float, within: float) -> np.ndarray | None:
        """The newest at or before ``t``; None when it is more than ``within`` s older."""
        i = bisect.bisect_right(self._stamps, t) - 1
        return self._pictures[i] if i >= 0 and t - self._stamps[i] <= within else None

    def nearest(self, t: float, within: float) -> np.ndarray | None:
        """The one nearest to ``t``; None when it is more than ``within`` s away."""
        i = bisect.bisect_left(self._stamps, t)
        near = [(abs(self._stamps[j] - t), j) for j in (i - 1, i) if 0 <= j < len(self._stamps)]
        distance, j = min(near, default=(math.inf, -1))
        return self._pictures[j] if distance <= within else None

    def clips(self, end: float, steps: int, period: float, within: float, most: int) -> list[np.ndarray]:
        """Up to ``most`` whole clips (1 + steps, H, W, 3), oldest first, one ending where the next begins.

        The last ends at ``end``.
        """
        found: list[np.ndarray] = []
        for p in range(most):
            times = [end - (p * steps + k) * period for k in range(steps, -1, -1)]
            clip = [self.nearest(t, within) for t in times]
            if any(picture is None for picture in clip):
                break
            found.insert(0, np.stack(clip))
        return found


@dataclasses.dataclass(frozen=True)
class RunStep:
    """One control step of a chunk that ran: its index in the chunk and when it was over."""

    step: int
    end: float
    clamped: bool = False  # the envelope changed it


def comparable(steps: list[RunStep]) -> list[RunStep]:
    """The steps, without a gap, that ran as they were planned: those before the first that was clamped."""
    taken: list[RunStep] = []
    for step in steps:
        if step.clamped or (taken and step.step != taken[-1].step + 1):
            break
        taken.append(step)
    return taken


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Means over ``frames`` compared steps; ``cosine`` is over the ``moving`` ones, NaN when there are none.

    ``epe`` and ``still_epe`` (of a picture in which nothing moves) are in px a step, ``psnr`` in dB.
    """

    frames: int = 0
    moving: int = 0
    epe: float = math.nan
    still_epe: float = math.nan
    cosine: float = math.nan
    psnr: float = math.nan

    def joined(self, other: Comparison) -> Comparison:
        """Of both together."""

        def mean(name: str, weight: str) -> float:
            parts = [(getattr(c, weight), getattr(c, name)) for c in (self, other) if getattr(c, weight)]
            total = sum(w for w, _ in parts)
            return sum(w * v for w, v in parts) / total if total else math.nan

        return Comparison(
            self.frames + other.frames, self.moving + other.moving, mean("epe", "frames"),
            mean("still_epe", "frames"), mean("cosine", "moving"), mean("psnr", "frames"),
        )  # fmt: skip


def compare(
    given_HW3: np.ndarray,
    imagined_KHW3: np.ndarray,
    steps: list[RunStep],
    pictures: RecentPictures,
    period: float,
    within: float,
) -> Comparison:
    """The clip imagined from ``given`` against the pictures at the ends of the steps that ran.

    A clip that was taken up late, at step k, is compared from the picture before step k on. A step without a picture
    within ``within`` s ends the comparison.
    """
    steps = comparable(steps)
    if not steps or steps[-1].step >= len(imagined_KHW3):
        return Comparison()
    first = steps[0].step
    real = [given_HW3 if first == 0 else pictures.nearest(steps[0].end - period, within)]
    real += [pictures.nearest(step.end, within) for step in steps]
    seen = next((i for i, picture in enumerate(real) if picture is None), len(real))
    if seen < 2:
        return Comparison()
    imagined = np.concatenate([given_HW3[None], imagined_KHW3])[first : first + seen]
    real = np.stack(real[:seen])
    real_flow = optical_flow(real)
    epe, cosine = flow_errors(real_flow, optical_flow(imagined))
    moving = np.isfinite(cosine)
    return Comparison(
        frames=seen - 1, moving=int(moving.sum()), epe=float(epe.mean()),
        still_epe=float(np.linalg.norm(real_flow, axis=-1).mean()),
        cosine=float(cosine[moving].mean()) if moving.any() else math.nan,
        psnr=float(psnr(real[1:], imagined[1:]).mean()),
    )  # fmt: skip
