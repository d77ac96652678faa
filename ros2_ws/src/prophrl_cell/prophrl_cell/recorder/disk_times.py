"""How long the disk took for each write and each sync of one file."""

import contextlib
import time

import numpy as np
from prophrl_core.episode import DiskSummary


class DiskTimes:
    """Durations in ms, about twelve a second; each list is filled by one thread and read by another."""

    def __init__(self):
        self.write: list[float] = []
        self.sync: list[float] = []

    @contextlib.contextmanager
    def measure(self, into: list[float]):
        """Times what runs inside, whether it succeeds or not."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            into.append(1e3 * (time.perf_counter() - begun))

    def summary(self) -> DiskSummary:
        """Of everything so far."""
        return DiskSummary(len(self.write), *_quantiles(self.write), len(self.sync), *_quantiles(self.sync))


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return 0.0, 0.0, 0.0
    p50, p99, longest = np.quantile(values[:], (0.5, 0.99, 1.0))
    return round(float(p50), 3), round(float(p99), 3), round(float(longest), 3)
