"""A single-threaded loop over sockets and one periodic timer.

Sockets of the controller hang on an inner epoll, so that a stalled controller can be imitated: the inner
one is set aside and its sockets stay open, connected and unanswered. Linux only (timerfd, epoll).
"""

import ctypes
import os
import select
import time
from collections.abc import Callable

from prophrl_sim.controller.tcp_service import Service

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC, _TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_ABSTIME = 1, os.O_NONBLOCK, os.O_CLOEXEC, 1


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
                ("first_s", ctypes.c_long), ("first_ns", ctypes.c_long)]


class EventLoop:
    """Calls ``tick(late_seconds)`` every ``period`` seconds and socket handlers in between."""

    MAX_BURST = 5

    def __init__(self, period: float):
        self.period = period
        self.robot, self.host = select.epoll(), select.epoll()
        self.services: list[Service] = []
        self.lost_ticks = 0
        self._timer = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._main = select.epoll()
        for fd in (self._timer, self.robot.fileno(), self.host.fileno()):
            self._main.register(fd, select.EPOLLIN)
        self.running = True
        self._stalled = False

    def stall(self, stalled: bool) -> None:
        """Stop (or start again) serving the controller's sockets; they stay open."""
        if stalled != self._stalled:
            self._stalled = stalled
            if stalled:
                self._main.unregister(self.robot.fileno())
            else:
                self._main.register(self.robot.fileno(), select.EPOLLIN)

    def run(self, tick: Callable[[], None]) -> None:
        """Until ``running`` is False. Late ticks are made up in short bursts; beyond that they are lost."""
        period_ns = round(self.period * 1e9)
        first = time.monotonic_ns() + period_ns
        spec = _TimerSpec(0, period_ns, first // 10**9, first % 10**9)
        if _libc.timerfd_settime(self._timer, _TFD_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        while self.running:
            for fd, _ in self._main.poll():
                if fd == self._timer:
                    expired = int.from_bytes(os.read(fd, 8), "little")
                    self.lost_ticks += max(0, expired - self.MAX_BURST)
                    for _ in range(min(expired, self.MAX_BURST)):
                        tick()
                else:
                    self._serve(self.robot if fd == self.robot.fileno() else self.host)

    def _serve(self, poller: select.epoll) -> None:
        for fd, events in poller.poll(0):
            for service in self.services:
                handler = service.handlers.get(fd)
                if handler is not None:
                    handler(events)
                    break

    def close(self) -> None:
        for service in self.services:
            service.close()
        os.close(self._timer)
        for poller in (self._main, self.robot, self.host):
            poller.close()
