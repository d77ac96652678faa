"""Judges the robot link from each reading; the client library itself notices almost nothing.

Pure: readings and times in, a verdict out.
"""

import enum
from typing import Protocol

_PLAYING, _RUNNING = 2, 7
_STALL = 0.08  # s without a new controller timestamp: stop
_LOST = 1.5  # s: give the session up, before the client starts to reconnect by itself (2.5 s)
_REFUSED = 0.1  # s of refused commands


class Health(enum.Enum):
    """State of the link, worst first."""

    STALLED = "stalled"
    EMERGENCY_STOP = "emergency stop"
    PROTECTIVE_STOP = "protective stop"
    POWER = "power"
    PROGRAM_STOPPED = "program stopped"
    GOOD = "good"

    @property
    def needs_person(self) -> bool:
        """Whether somebody has to unlock or power the robot before it can be resumed."""
        return self in (Health.EMERGENCY_STOP, Health.PROTECTIVE_STOP, Health.POWER)

    @property
    def commandable(self) -> bool:
        """Whether commands may reach the joints (a stalled stream still gets the braking motion)."""
        return self in (Health.GOOD, Health.STALLED)


class Readable(Protocol):
    """What the verdict needs of ``robot_link.Reading``."""

    controller_time: float
    robot_mode: int
    safety_mode: int
    runtime_state: int
    protective_stop: bool
    emergency_stop: bool


class LinkHealth:
    """Running verdict; ``now``, ``reason`` (one line), ``lost`` and the length of the ``last_stall`` (s)."""

    FORGIVEN = 0.5  # s of stall after which the operator has to resume

    def __init__(self, now: float):
        self.lost = False
        self.last_stall = 0.0
        self.restart(now)

    def restart(self, now: float) -> None:
        """Begin again with a session that was just (re)started."""
        self.now, self.reason = Health.GOOD, ""
        self._controller_time: float | None = None
        self._advanced = now
        self._accepted = now
        self._refused = False

    def sent(self, accepted: bool, now: float) -> None:
        """Note whether the client took a command."""
        if accepted:
            self._accepted = now

    def judge(self, reading: Readable, connected: bool, now: float) -> Health:
        """Verdict on a reading taken at monotonic time ``now``."""
        if reading.controller_time != self._controller_time:
            self._controller_time, self._advanced = reading.controller_time, now
        stall = now - self._advanced
        if stall > _LOST or not connected:
            self.lost = True
        if stall > _STALL or not connected:
            self.last_stall = stall
            verdict = Health.STALLED, "no new state from the controller: the stream stalled or the link is gone"
        elif reading.emergency_stop:
            verdict = Health.EMERGENCY_STOP, "emergency stop: release the button, then unlock and resume"
        elif reading.protective_stop:
            verdict = Health.PROTECTIVE_STOP, "protective stop: free the arm, then unlock and resume"
        elif reading.robot_mode != _RUNNING:
            verdict = Health.POWER, f"robot mode {reading.robot_mode}, expected 7 (running): unlock powers it on"
        elif reading.runtime_state != _PLAYING:
            verdict = Health.PROGRAM_STOPPED, "the control program stopped on the controller; resume starts it again"
        elif self._refused or (now - self._accepted > _REFUSED and self.now is Health.GOOD):
            self._refused = True  # until the program is restarted
            verdict = Health.PROGRAM_STOPPED, "the controller takes no servo commands; resume starts its program again"
        else:
            verdict = Health.GOOD, ""
        if verdict[0] is Health.GOOD and self.now is not Health.GOOD:
            self._accepted = now
        self.now, self.reason = verdict
        return self.now
