"""Monotonic and wall clocks of one host.

Loops run on CLOCK_MONOTONIC; ROS stamps are wall time. A stamp is converted once, where it enters
or leaves a loop, with the offset of that moment.
"""

import time


def realtime_offset_ns() -> int:
    """Wall clock minus monotonic clock now, ns; the tightest of three bracketed readings."""
    best = None
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall - (before + after) // 2)
    return best[1]


def monotonic_to_realtime_ns(monotonic_s: float) -> int:
    """ROS stamp in ns of a monotonic time in seconds."""
    return int(monotonic_s * 1e9) + realtime_offset_ns()


def realtime_to_monotonic(realtime_ns: int) -> float:
    """Monotonic seconds of a ROS stamp in ns taken on this host."""
    return (realtime_ns - realtime_offset_ns()) * 1e-9
