"""An operator's hand on the arm: reads the newest teleop command, jogs or frees the arm, keeps others off meanwhile."""

import math

import numpy as np

from prophrl_cell.arm import jog
from prophrl_cell.arm.control import Arbiter
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.jog import Jog
from prophrl_cell.arm.limiter import Clamp
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_cell.arm.robot_link import RobotLink
from prophrl_cell.arm.shared_state import Control, EventKind, Seqlock, Source

_STALE = 0.2  # s between a command's stamp and its arrival
_CONTROL_OF_SOURCE = {Source.POLICY: Control.POLICY, Source.REPLAY: Control.REPLAY, Source.TELEOP: Control.TELEOP}
_FURTHER = 1e-3  # m and rad by which a hand-guided arm may get further outside than it was


class OperatorHand:
    """``events`` collects what was not obeyed until the process takes it; ``freed``: the link is in freedrive.

    While it is freed and the motion is not guided by hand, nothing may tell the controller's watchdog to stay calm.
    """

    def __init__(self, commands: Seqlock, motion: Motion, envelope: Envelope, link: RobotLink):
        self._commands, self._motion, self._envelope, self._link = commands, motion, envelope, link
        self._arbiter = Arbiter(envelope.spec.teleop_timeout)
        self._serial = 0
        self._jog = Jog(np.zeros(6), jog.BASE, math.nan, 0.0)
        self._by_hand = False
        self._outside = (0.0, 0.0)
        self.freed = self._stuck = False
        self.events: list[tuple[EventKind, Clamp]] = []

    @property
    def control(self) -> Control:
        """Who moves the arm now."""
        if self._arbiter.teleop:
            return Control.TELEOP
        following = self._motion.doing is Doing.FOLLOWING
        return _CONTROL_OF_SOURCE.get(self._motion.source, Control.NONE) if following else Control.NONE

    def keeps_off(self, observed: float) -> Clamp | None:
        """The reason not to execute a chunk observed at ``observed`` (s); its detail is empty when told before."""
        if not self._arbiter.refuses(observed):
            return None
        told = not self._arbiter.tell()
        return Clamp("control", 0.0, 0.0, "", "" if told else "an operator has the arm; release the deadman")

    def yields(self, now: float) -> bool:
        """Somebody else's word came (home, the end of an episode): False while the deadman is held."""
        if self._arbiter.held(now):
            return False
        if self._arbiter.teleop:
            self._arbiter.give_back(now)
        return True

    def restarted(self) -> None:
        """The control program was started again, which ends freedrive."""
        self.freed = self._stuck = False

    def act(self, allowed: bool, live: bool, q: np.ndarray, now: float) -> None:
        """Once per cycle, before ``Motion.step``; ``q`` (6,) are the measured joints.

        ``allowed``: the arm need not wait for somebody's word. ``live``: the robot answers; while it does not, the
        operator keeps the arm, but it rests. May block for some cycles where freedrive begins or ends.
        """
        self._listen()
        if self._arbiter.decide(now, allowed, self._motion.resting):
            self._refuse(Clamp("mode", 0.0, 0.0, "", "the arm may not move; resume first, then press again"))
        held = self._arbiter.held(now) and allowed and live and not self._stuck
        if self._motion.doing is Doing.GUIDED:
            self._guide(held and self._by_hand, live, q, now)
        elif self.freed and live and not self._stuck:
            self._motion.rest_at(self._unfree(), now)
        elif held and self._by_hand:
            self._begin_guiding(q, now)
        elif held:
            self._motion.jog(self._jog, now)
        elif self._motion.doing is Doing.JOGGING:
            self._motion.brake()

    def _listen(self) -> None:
        record = self._commands.read()
        if record is None or int(record["serial"]) == self._serial:
            return
        self._serial = int(record["serial"])
        deadman, arrived = bool(record["deadman"]), float(record["arrived"])
        age = arrived - float(record["stamp"])
        if deadman and not abs(age) <= _STALE:
            self._refuse(Clamp("command_age", age, _STALE, "s", "the command is too old, or its clock is wrong"))
            return
        self._by_hand = bool(record["freedrive"])
        twist = np.zeros(6) if self._by_hand else record["twist"].copy()
        self._jog = Jog(twist, int(record["frame"]), float(record["openness"]), arrived)
        found = jog.check(self._jog, self._envelope.action) if deadman else None
        if found is not None:
            self._refuse(found)
        self._arbiter.hear(deadman, found is None, arrived)

    def _refuse(self, found: Clamp) -> None:
        self.events.append((EventKind.REFUSED, found))

    def _begin_guiding(self, q: np.ndarray, now: float) -> None:
        if not self._motion.resting:
            self._motion.brake()
            return
        if not self._link.free():
            self._unfree()
            self._arbiter.deny()
            self._refuse(Clamp("freedrive", 0.0, 0.0, "", "the controller does not go into freedrive"))
            return
        self.freed = True
        self._outside = tuple(max(0.0, v) + _FURTHER for v in self._envelope.beyond(self._envelope.tcp(q)))
        self._motion.guide(now)

    def _guide(self, held: bool, live: bool, q: np.ndarray, now: float) -> None:
        self._motion.guided(q, self._jog.openness if held else math.nan, now)
        beyond = self._envelope.beyond(self._motion.T)
        for limit, unit, value, bound in zip(("workspace", "tilt"), ("m", "rad"), beyond, self._outside):
            if held and value > bound:
                self._arbiter.deny()
                held = False
                found = Clamp(limit, value, bound, unit, "freedrive ended; release, then guide it back in")
                self.events.append((EventKind.STOPPED, found))
        if not held:
            if live:
                q = self._unfree()
                self._motion.guided(q, math.nan, now)
            self._motion.rest_at(q, now)

    def _unfree(self) -> np.ndarray:
        """End freedrive; the joints (6,) measured afterwards, for the arm goes on while the controller changes over."""
        self.freed = self._stuck = not self._link.unfree()
        if self._stuck:
            self.events.append((EventKind.STOPPED, Clamp("freedrive", 0.0, 0.0, "", "the controller does not end it")))
        return np.array(self._link.read().q)
