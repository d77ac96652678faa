"""What is wrong with a recording (it is refused) and what sticks out of the set (it is named)."""

import dataclasses
import math

import numpy as np

from prophrl_training.inspection.film import Film
from prophrl_training.inspection.motion_check import Mismatch, mismatch
from prophrl_training.inspection.recording import Recording, Stream

CLOCK_BACK_S = 1e-4  # a stamp earlier than the one before it
CLOCK_JUMP_S = 0.5  # stamps advanced this much more, or less, than the recorder's clock
CLOCK_LEAST = 3  # messages that tell a clock that leapt from one that came late
RATE_SHARE = 0.2  # a step rate this far from the set's median is another rate
GAP_PERIODS, GAP_S = 5.0, 0.25  # a gap is longer than both
STRONG = 5.0  # robust standard deviations
STRONG_SHARE = 0.3  # and this far from the median
LEAST_SET = 5  # recordings that make a set
DARK, BRIGHT, FLAT = 12.0, 243.0, 3.0  # grey levels
FROZEN_S, FROZEN_M = 0.5, 0.03  # pictures stand still this long while the TCP moves this far


@dataclasses.dataclass(frozen=True)
class Inspected:
    """One recording with what was measured on it. ``faults`` refuse it, ``remarks`` name what sticks out."""

    recording: Recording
    films: tuple[Film, ...]
    mismatches: tuple[Mismatch, ...]
    faults: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> float:
        """Metres; the farther arm's."""
        return max((m.path for m in self.recording.motions), default=0.0)

    @property
    def largest_action(self) -> float:
        """The longest translation of a single step, m."""
        return max((float(np.linalg.norm(m.actions[:, :3], axis=1).max()) for m in self.recording.motions), default=0.0)

    @property
    def clock_skew(self) -> float:
        """Median seconds from stamp to receipt, of the stream where it is largest; nan when no clock was compared."""
        streams = [s for s in self.recording.streams if s.regular and len(s.received)]
        skews = [float(np.median(s.received - s.stamp)) for s in streams]
        return max(skews, key=abs) if skews else float("nan")


def inspect(recording: Recording, films: tuple[Film, ...]) -> Inspected:
    """Faults and remarks that one recording shows by itself."""
    mismatches = tuple(mismatch(m) for m in recording.motions)
    faults, remarks = [], []
    for stream in recording.streams:
        gap = stream.largest_gap
        if stream.regular:
            faults += clock_faults(stream)
        if stream.regular and stream.period and gap > max(GAP_PERIODS * stream.period, GAP_S):
            remarks.append(f"{stream.name}: a gap of {gap:.2f} s ({gap / stream.period:.0f} periods)")
        if stream.lost:
            remarks.append(f"{stream.name}: {stream.lost} messages lost")
    for motion, off in zip(recording.motions, mismatches, strict=True):
        remarks += [f"{motion.arm}: {doubt}" for doubt in motion.doubts]
        if off.rms > motion.allowed_mismatch:
            faults.append(
                f"{motion.arm}: integrated actions miss the measured TCP by {1e3 * off.rms:.0f} mm rms"
                f" (allowed {1e3 * motion.allowed_mismatch:.0f}): wrong actions, frame or clock"
            )
    for film in films:
        faults_of, remarks_of = film_findings(recording, film)
        faults += faults_of
        remarks += remarks_of
    return Inspected(recording, films, mismatches, tuple(faults), tuple(remarks))


def clock_faults(stream: Stream) -> list[str]:
    """Stamps that run backwards, or leap against the recorder's clock (without one: against the stream's period)."""
    if len(stream.stamp) < 3:
        return []
    step = np.diff(stream.stamp)
    if (step < -CLOCK_BACK_S).any():
        at = int(np.argmax(step < -CLOCK_BACK_S))
        return [f"{stream.name}: clock runs back by {-step[at]:.3f} s at {stream.stamp[at]:.2f} s"]
    leap = _leaps(stream) if len(stream.received) else step - stream.period
    if (np.abs(leap) > CLOCK_JUMP_S).any():
        at = int(np.argmax(np.abs(leap)))
        return [f"{stream.name}: clock jumps by {leap[at]:+.2f} s at {stream.stamp[at]:.2f} s"]
    return []


def _leaps(stream: Stream) -> np.ndarray:
    """How far (N - 1,) the stamps leapt ahead of the recorder's clock for good: a message that came late is no leap.

    The shortest way from stamp to receipt of the second before is compared with that of the second after.
    """
    delay = stream.received - stream.stamp
    width = min(max(CLOCK_LEAST, math.ceil(1.0 / max(stream.period, 1e-3))), len(delay))
    padded = np.concatenate([np.full(width - 1, np.inf), delay, np.full(width - 1, np.inf)])
    shortest = np.lib.stride_tricks.sliding_window_view(padded, width).min(axis=1)  # begins with a window that ends at 0
    leaps = shortest[: len(delay) - 1] - shortest[width:]
    edge = min(CLOCK_LEAST - 1, len(leaps) // 2)
    leaps[:edge] = leaps[len(leaps) - edge :] = 0.0
    return leaps


def film_findings(recording: Recording, film: Film) -> tuple[list[str], list[str]]:
    """(faults, remarks) of one camera's pictures."""
    if not len(film.t):
        return [f"camera {film.camera}: no pictures"], []
    remarks = []
    bright = float(np.median(film.brightness))
    if bright < DARK or bright > BRIGHT:
        remarks.append(f"camera {film.camera}: {'dark' if bright < DARK else 'over-exposed'} (grey level {bright:.0f})")
    elif float(np.median(film.contrast)) < FLAT:
        remarks.append(f"camera {film.camera}: no contrast (grey levels within {np.median(film.contrast):.1f})")
    if (cut := film.cut()) is not None:
        remarks.append(
            f"camera {film.camera}: another scene up to {cut[0]:.2f} s"
            f" (the picture changes by {cut[1]:.0f} grey levels)"
        )
    for start, end in film.frozen()[:1]:
        moved = max((_travel(m.measured_t, m.measured, start, end) for m in recording.motions), default=0.0)
        if end - start > FROZEN_S and moved > FROZEN_M:
            remarks.append(
                f"camera {film.camera}: frozen for {end - start:.1f} s at {start:.1f} s"
                f" while the arm moved {1e3 * moved:.0f} mm"
            )
    return [], remarks


def _travel(t: np.ndarray, poses: np.ndarray, start: float, end: float) -> float:
    inside = (t >= start) & (t <= end)
    return float(np.linalg.norm(np.diff(poses[inside][:, :3, 3], axis=0), axis=1).sum())


def compare(found: list[Inspected]) -> list[Inspected]:
    """The same with what shows only beside the others: missing cameras, other rates, outliers."""
    if len(found) < 2:
        return found
    names = [set(i.recording.cameras) for i in found]
    usual = {name for group in names for name in group if 2 * sum(name in g for g in names) >= len(found)}
    rate = float(np.median([i.recording.rate_hz for i in found]))
    outliers = _outliers(found) if len(found) >= LEAST_SET else [[] for _ in found]
    compared = []
    for item, cameras, odd in zip(found, names, outliers, strict=True):
        faults = [f"camera {name} is missing, the others have it" for name in sorted(usual - cameras)]
        if abs(item.recording.rate_hz - rate) > RATE_SHARE * rate:
            faults.append(f"mixed rate: steps at {item.recording.rate_hz:.1f} Hz, the others at {rate:.1f} Hz")
        compared.append(dataclasses.replace(item, faults=(*item.faults, *faults), remarks=(*item.remarks, *odd)))
    return compared


def _outliers(found: list[Inspected]) -> list[list[str]]:
    measures = {
        "duration": ([i.recording.duration for i in found], "{:.1f} s"),
        "path length": ([i.path for i in found], "{:.2f} m"),
        "largest action": ([i.largest_action for i in found], "{:.3f} m"),
        "action mismatch": ([max((m.rms for m in i.mismatches), default=0.0) for i in found], "{:.4f} m"),
    }
    for camera in sorted({film.camera for i in found for film in i.films}):
        values = [
            next((float(np.median(f.brightness)) for f in i.films if f.camera == camera and len(f.t)), np.nan)
            for i in found
        ]
        measures[f"brightness of {camera}"] = (values, "{:.0f}")
    remarks: list[list[str]] = [[] for _ in found]
    for name, (values, text) in measures.items():
        values = np.array(values)
        middle = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
        spread = 1.4826 * float(np.nanmedian(np.abs(values - middle))) if np.isfinite(values).any() else 0.0
        for remark, value in zip(remarks, values, strict=True):
            far = abs(value - middle)
            if far > STRONG * spread and far > STRONG_SHARE * abs(middle) and far > 0:
                remark.append(f"{name} {text.format(value)}, the median is {text.format(middle)}")
    return remarks
