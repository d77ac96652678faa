"""One recording as the inspection sees it, wherever it comes from."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

Frames = Callable[[], Iterator[tuple[float, np.ndarray]]]  # (seconds, (H, W, 3) uint8 RGB)


@dataclasses.dataclass(frozen=True)
class Stream:
    """Times of one stream, s: ``stamp`` by the source's clock, ``received`` by the recorder's (empty when unknown).

    ``regular`` streams send at a rate; the others when something happens.
    """

    name: str
    stamp: np.ndarray
    received: np.ndarray
    lost: int = 0
    regular: bool = True

    @property
    def period(self) -> float:
        """Median seconds between messages, 0 for fewer than two."""
        return float(np.median(np.diff(self.stamp))) if len(self.stamp) > 1 else 0.0

    @property
    def largest_gap(self) -> float:
        """Seconds."""
        return float(np.diff(self.stamp).max()) if len(self.stamp) > 1 else 0.0


@dataclasses.dataclass(frozen=True)
class Motion:
    """One arm. Poses are T_base_tcp (4, 4), times seconds from the recording's start.

    ``actions`` (S, 7) of our spec were executed; each ends at its ``step_t``. ``integrated`` are the poses that they
    lead to from ``start``. ``measured`` poses come with times of their own.
    """

    arm: str
    measured_t: np.ndarray
    measured: np.ndarray
    openness: np.ndarray  # measured, at measured_t
    step_t: np.ndarray
    actions: np.ndarray
    integrated: np.ndarray
    notes: tuple[str, ...] = ()  # what a card's self-check says of this recording
    doubts: tuple[str, ...] = ()  # what of it lies outside the card's tolerance
    allowed_mismatch: float = 0.03  # m, rms after the lag

    @property
    def path(self) -> float:
        """Metres that the measured TCP went."""
        return float(np.linalg.norm(np.diff(self.measured[:, :3, 3], axis=0), axis=1).sum())


@dataclasses.dataclass(frozen=True)
class Recording:
    """One episode. ``control`` is the share of steps by who moved the arm."""

    name: str
    task: str
    outcome: str
    duration: float
    rate_hz: float  # of the steps
    streams: tuple[Stream, ...]
    cameras: dict[str, Frames]
    motions: tuple[Motion, ...]
    control: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Messages that are known to be missing."""
        return sum(s.lost for s in self.streams)
