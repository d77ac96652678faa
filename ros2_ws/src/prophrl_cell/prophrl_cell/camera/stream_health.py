"""Bookkeeping of one frame stream: lost frames, rate, stalls, and how long to wait before a restart."""

import collections
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class StallConfig:
    """When a stream counts as stalled and how restarts are spaced."""

    frames_missing: float = 10.0  # nominal periods without a frame
    floor_s: float = 0.5
    first_frame_s: float = 4.0  # a device may take this long to begin
    first_backoff_s: float = 0.5
    max_backoff_s: float = 10.0

    def timeout_s(self, rate_hz: float) -> float:
        """Silence (s) after which a stream of ``rate_hz`` is stalled."""
        return max(self.floor_s, self.frames_missing / rate_hz)


class StreamHealth:
    """Counts frames by the device's frame number; times are host monotonic seconds."""

    def __init__(self, rate_hz: float, config: StallConfig = StallConfig(), window: int = 90):
        self._timeout_s = config.timeout_s(rate_hz)
        self._first_frame_s = max(self._timeout_s, config.first_frame_s)
        self._arrivals: collections.deque[float] = collections.deque(maxlen=window)
        self._latencies: collections.deque[float] = collections.deque(maxlen=window)
        self._last_number: int | None = None
        self._last_seen_s: float | None = None
        self.frames = 0
        self.dropped = 0

    def opened(self, now_s: float) -> None:
        """The device was (re)opened: its frame counter may start anywhere."""
        self._last_number = None
        self._last_seen_s = now_s
        self._arrivals.clear()

    def saw(self, number: int, arrival_s: float, latency_s: float) -> int:
        """Count a frame; returns how many the device's counter says were lost just before it."""
        lost = 0
        if self._last_number is not None and number > self._last_number:
            lost = number - self._last_number - 1
        self._last_number = number
        self._last_seen_s = arrival_s
        self._arrivals.append(arrival_s)
        self._latencies.append(latency_s)
        self.frames += 1
        self.dropped += lost
        return lost

    def stalled(self, now_s: float) -> bool:
        """No frame for longer than the configured silence."""
        limit_s = self._first_frame_s if self._last_number is None else self._timeout_s
        return self._last_seen_s is not None and now_s - self._last_seen_s > limit_s

    def silence_s(self, now_s: float) -> float:
        """Seconds since the last frame (or since opening)."""
        return 0.0 if self._last_seen_s is None else now_s - self._last_seen_s

    @property
    def rate_hz(self) -> float:
        """Frames per second over the window, 0 with fewer than two frames."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max(self._arrivals[-1] - self._arrivals[0], 1e-9)

    @property
    def latency_s(self) -> float:
        """Median of capture-to-publish over the window, 0 before the first frame."""
        return statistics.median(self._latencies) if self._latencies else 0.0


class Backoff:
    """Doubling waits between restarts; a success starts over."""

    def __init__(self, config: StallConfig = StallConfig()):
        self._config = config
        self._next_s = config.first_backoff_s

    def next_wait_s(self) -> float:
        """How long to wait before the coming attempt (s)."""
        wait = self._next_s
        self._next_s = min(self._next_s * 2.0, self._config.max_backoff_s)
        return wait

    def succeeded(self) -> None:
        """A frame arrived."""
        self._next_s = self._config.first_backoff_s
