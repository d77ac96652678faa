"""Real-time footing of the servo loop: scheduling, locked memory, no garbage collection, a steady tick."""

import ctypes
import gc
import os
import signal
import sys
import time

import numpy as np

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PRIORITY = 60
_SPIN = 150e-6  # s before the deadline that are spent polling the clock


def enter_realtime() -> bool:
    """SCHED_FIFO, locked pages and no collector; True when the scheduler granted real-time priority.

    Threads that are started afterwards (the RTDE client's) inherit the priority.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(0.0005)
    ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT | _MCL_FUTURE)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except (PermissionError, OSError):
        return False
    return True


def die_after(seconds: float) -> None:
    """Let the kernel end this process in ``seconds`` unless called again before, however deep foreign code hangs.

    SIGALRM's default action needs neither the interpreter nor a supervisor.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Tick:
    """Deadlines on CLOCK_MONOTONIC, ``period`` seconds apart, that never drift.

    A deadline that has passed by more than a period is skipped and counted, never caught up with a burst.
    """

    def __init__(self, period: float):
        self.period = period
        self.missed = 0
        self.deadline = time.monotonic() + period

    def advance(self) -> float:
        """Move to the next deadline and return it."""
        self.deadline += self.period
        behind = int((time.monotonic() - self.deadline) / self.period)
        if behind > 0:
            self.missed += behind
            self.deadline += behind * self.period
        return self.deadline


def sleep_until(deadline: float) -> None:
    """Sleep until a monotonic time, polling the clock for the last stretch."""
    left = deadline - time.monotonic()
    if left > _SPIN:
        time.sleep(left - _SPIN)
    while time.monotonic() < deadline:
        pass


class PeriodStatistics:
    """Percentiles of the periods between calls over a window of the last ``size`` of them."""

    def __init__(self, size: int = 1250):
        self._periods = np.zeros(size)
        self._count = 0
        self._last: float | None = None

    def add(self, now: float) -> None:
        """Record one tick at monotonic time ``now``."""
        if self._last is not None:
            self._periods[self._count % len(self._periods)] = now - self._last
            self._count += 1
        self._last = now

    def restart(self) -> None:
        """Forget the last tick, so that a pause does not count as a period."""
        self._last = None

    def percentiles_ms(self) -> tuple[float, float, float]:
        """(p50, p99, max) in ms; zeros before the first period."""
        if self._count == 0:
            return 0.0, 0.0, 0.0
        window = self._periods[: min(self._count, len(self._periods))] * 1e3
        return float(np.percentile(window, 50)), float(np.percentile(window, 99)), float(window.max())
