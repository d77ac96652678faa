"""What is known of one recorded stream: counts, rate, gaps, bytes and clock skew, at constant memory."""

import dataclasses
import statistics

from prophrl_core.episode import StreamSummary

SKEW_SAMPLES = 512  # at most twice this many are kept, evenly spread over the episode


class SkewMedian:
    """Median of values (s) that come one by one; of an evenly thinned sample once they are many."""

    def __init__(self):
        self._kept: list[float] = []
        self._every = 1
        self._seen = 0

    def add(self, value: float) -> None:
        if self._seen % self._every == 0:
            self._kept.append(value)
            if len(self._kept) >= 2 * SKEW_SAMPLES:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def value(self) -> float | None:
        """None before the first value."""
        return round(statistics.median(self._kept), 6) if self._kept else None


@dataclasses.dataclass
class StreamStatistics:
    """Fed with every message of one stream in order of receipt; times in ns."""

    seen: int = 0
    first_ns: int = 0
    last_ns: int = 0
    max_gap_ns: int = 0
    bytes: int = 0
    skew: SkewMedian = dataclasses.field(default_factory=SkewMedian)

    def saw(self, received_ns: int, stamp_ns: int = 0) -> None:
        """One message; ``stamp_ns`` is its header stamp, 0 when it has none that says when it was sent."""
        if self.seen:
            self.max_gap_ns = max(self.max_gap_ns, received_ns - self.last_ns)
        else:
            self.first_ns = received_ns
        self.last_ns = received_ns
        self.seen += 1
        if stamp_ns:
            self.skew.add((received_ns - stamp_ns) * 1e-9)

    def summary(self, topic: str, type_name: str, messages: int, lost: int = 0) -> StreamSummary:
        """As ``episode.json`` and ``recorder/status`` show it."""
        span_s = (self.last_ns - self.first_ns) * 1e-9
        return StreamSummary(
            topic, type_name, messages, lost, round((self.seen - 1) / span_s, 3) if span_s > 0 else 0.0,
            round(self.max_gap_ns * 1e-9, 6), self.skew.value(), self.bytes,
        )
