"""The operator's hand between shared memory, motion and link: takes the arm, frees it, and never leaves it freed."""

import math

import numpy as np
import pytest
from prophrl_cell.arm import shared_state
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_cell.arm.operator_hand import OperatorHand
from prophrl_cell.arm.shared_state import ArmMemory, Control, EventKind
from prophrl_core.action import ActionSpec
from prophrl_core.cell import load_cell
from prophrl_core.chunk_schedule import Chunk

CELL = load_cell("sim")
ENVELOPE = Envelope(CELL, ActionSpec())
DT = 0.008


class Link:
    """What the controller was asked for."""

    def __init__(self, bench):
        self._bench, self.asked, self.takes, self.ends = bench, [], True, True

    def read(self):
        return self._bench

    def free(self):
        self.asked.append("free")
        return self.takes

    def unfree(self):
        self.asked.append("unfree")
        return self.ends


class Bench:
    """The hand at work at 125 Hz; ``q`` is where the arm is measured."""

    def __init__(self, memory):
        self.memory, self.t, self.serial = memory, 10.0, 0
        self.q = np.array(CELL.robot.home)
        self.link, self.motion = Link(self), Motion(ENVELOPE, self.q, 1.0, DT, self.t)
        self.hand = OperatorHand(memory.teleop, self.motion, ENVELOPE, self.link)

    def cycles(self, n, allowed=True, live=True, send=True, moved=0.0, late=0.0, **fields):
        for _ in range(n):
            self.t += DT
            if send:
                record, self.serial = np.zeros((), shared_state.TELEOP), self.serial + 1
                fields = {"deadman": True, "openness": math.nan} | fields
                fields |= {"arrived": self.t, "stamp": self.t - late, "serial": self.serial}
                for name, value in fields.items():
                    record[name] = value
                self.memory.teleop.write(record)
            if self.motion.doing is Doing.GUIDED:
                self.q = self.q + [moved, 0, 0, 0, 0, 0]
            self.hand.act(allowed, live, self.q, self.t)
            self.motion.step(self.t)
            if self.motion.doing is not Doing.GUIDED:
                self.q = self.motion.q
        return self

    def events(self):
        return [(kind, clamp.limit) for kind, clamp in self.hand.events]


@pytest.fixture
def bench():
    memory = ArmMemory.create()
    yield Bench(memory)
    memory.close()


def test_takes_the_arm_from_a_chunk_keeps_it_through_silence_and_gives_it_back(bench):
    actions = np.zeros((20, 7))
    actions[:, 0] = 0.01
    bench.motion.follow(Chunk(actions, 0.1, bench.t), bench.t)
    bench.cycles(20, send=False)
    assert bench.hand.control is Control.POLICY and bench.hand.keeps_off(bench.t) is None
    bench.cycles(20, twist=(0, 0.1, 0, 0, 0, 0))
    assert bench.hand.control is Control.TELEOP and bench.motion.doing is Doing.JOGGING
    assert [bool(bench.hand.keeps_off(bench.t).detail) for _ in range(3)] == [True, False, False]
    assert not bench.hand.yields(bench.t)
    bench.cycles(40, send=False)
    assert bench.motion.resting and bench.hand.control is Control.TELEOP
    bench.cycles(3, deadman=False)
    assert bench.hand.control is Control.NONE
    assert bench.hand.keeps_off(bench.t - 0.1) is not None and bench.hand.keeps_off(bench.t) is None
    assert bench.events() == []


def test_somebody_elses_word_ends_a_silent_operators_control(bench):
    bench.cycles(20, twist=(0, 0.1, 0, 0, 0, 0)).cycles(40, send=False)
    assert bench.hand.yields(bench.t) and bench.hand.control is Control.NONE


def test_a_robot_that_stops_answering_rests_and_goes_on_while_the_deadman_stays_held(bench):
    bench.cycles(20, twist=(0, 0.1, 0, 0, 0, 0)).cycles(20, live=False)
    assert bench.motion.resting and bench.hand.control is Control.TELEOP
    bench.cycles(5)
    assert bench.motion.doing is Doing.JOGGING and bench.events() == []


def test_old_and_unstamped_commands_are_not_obeyed_but_an_old_release_is(bench):
    for late in (0.3, 1e9, -5.0, math.nan):
        bench.cycles(5, late=late, twist=(0, 0.1, 0, 0, 0, 0))
    assert bench.motion.resting and set(bench.events()) == {(EventKind.REFUSED, "command_age")}
    bench.cycles(5, twist=(0, 0.1, 0, 0, 0, 0)).cycles(1, late=9.0, deadman=False)
    assert bench.motion.doing is not Doing.JOGGING


def test_freedrive_begins_at_rest_follows_the_arm_and_holds_where_it_was_let_go(bench):
    bench.cycles(20, twist=(0, 0.1, 0, 0, 0, 0))
    bench.cycles(30, freedrive=True, twist=(math.nan,) * 6, moved=1e-3)
    assert bench.link.asked == ["free"] and bench.hand.freed and bench.motion.doing is Doing.GUIDED
    assert np.array_equal(bench.motion.q, bench.q)
    bench.cycles(3, deadman=False, freedrive=True)
    assert bench.link.asked == ["free", "unfree"] and not bench.hand.freed
    assert bench.motion.resting and bench.hand.control is Control.NONE
    bench.cycles(3, twist=(0, 0.1, 0, 0, 0, 0))
    assert bench.motion.doing is Doing.JOGGING


@pytest.mark.parametrize(
    "end", [{"send": False}, {"allowed": False, "freedrive": True}, {"live": False, "freedrive": True}]
)
def test_freedrive_ends_in_silence_on_any_stop_and_when_the_robot_is_mute(bench, end):
    bench.cycles(10, freedrive=True, moved=1e-3).cycles(10, **end)
    assert bench.motion.resting
    assert bench.hand.freed == ("live" in end)  # a mute robot is told once it answers
    bench.cycles(1, deadman=False)
    assert not bench.hand.freed and bench.link.asked == ["free", "unfree"]


def test_freedrive_ends_at_the_wall_and_may_only_come_back_from_outside(bench):
    bench.cycles(400, freedrive=True, moved=2e-3)
    assert bench.events() == [(EventKind.STOPPED, "workspace")]
    assert bench.motion.resting and bench.link.asked == ["free", "unfree"]
    outside = ENVELOPE.beyond(bench.motion.T)[0]
    assert 0.0 < outside < 3e-3
    bench.cycles(2, deadman=False).cycles(50, freedrive=True, moved=-2e-3)
    assert ENVELOPE.beyond(bench.motion.T)[0] < 0.0 and bench.motion.doing is Doing.GUIDED


def test_a_controller_that_refuses_freedrive_is_reported_once(bench):
    bench.link.takes = False
    bench.cycles(50, freedrive=True)
    assert bench.events() == [(EventKind.REFUSED, "freedrive")] and bench.motion.resting and not bench.hand.freed


def test_a_controller_that_does_not_end_freedrive_gets_neither_commands_nor_a_second_try(bench):
    bench.link.ends = False
    bench.cycles(10, freedrive=True).cycles(3, deadman=False)
    assert bench.hand.freed and bench.motion.doing is not Doing.GUIDED
    bench.cycles(3, deadman=False).cycles(20, twist=(0, 0.1, 0, 0, 0, 0))
    assert bench.motion.resting and bench.hand.freed and bench.link.asked == ["free", "unfree"]
    assert bench.events() == [(EventKind.STOPPED, "freedrive")]
    bench.hand.restarted()
    bench.cycles(2, deadman=False).cycles(3, twist=(0, 0.1, 0, 0, 0, 0))
    assert bench.motion.doing is Doing.JOGGING
