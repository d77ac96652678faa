"""The word to resume: carried out at rest, on a new reading, soon, or not at all. No robot."""

import time
import types

import numpy as np
import pytest

pytest.importorskip("rtde_control")

from prophrl_cell.arm.link_health import Health  # noqa: E402
from prophrl_cell.arm.rtde_process import RtdeProcess  # noqa: E402

Q = (0.1, -1.5, 1.5, -1.6, -1.6, 0.0)


class Motion:
    def __init__(self):
        self.resting, self.rested_at = False, None

    def rest_at(self, q, t):
        self.rested_at = np.array(q)


@pytest.fixture
def process():
    """A process that waits for the word, its arm still braking."""
    process, said = RtdeProcess.__new__(RtdeProcess), []
    process._held, process._resume_until, process._motion = "held by the operator", None, Motion()
    process._reading = types.SimpleNamespace(q=Q, qd=[0.0, 0.3, 0.0, 0.0, 0.0, 0.0])
    process._health = types.SimpleNamespace(now=Health.GOOD, reason="")
    process._reports = types.SimpleNamespace(log=lambda line, now: said.append(line))
    process.said = said
    return process


def test_it_waits_for_the_command_and_for_the_joints_to_rest(process):
    now = time.monotonic()
    process._resume(now)
    for resting, moving in ((False, 0.3), (True, 0.3), (True, 0.05)):
        process._motion.resting, process._reading.qd[1] = resting, moving
        process._continue_when_still(now + 0.1)
        assert process._held and process._motion.rested_at is None
    process._reading.qd[1] = 0.001
    process._continue_when_still(now + 0.2)
    assert process._held == "" and np.array_equal(process._motion.rested_at, Q) and not process.said


def test_a_word_that_waited_too_long_is_given_up_and_said(process):
    now = time.monotonic()
    process._resume(now)
    process._continue_when_still(now + 2.5)
    process._motion.resting, process._reading.qd = True, [0.0] * 6
    process._continue_when_still(now + 2.6)
    assert process._held and process._motion.rested_at is None
    assert len(process.said) == 1 and "does not rest" in process.said[0]


@pytest.mark.parametrize("health", [Health.STALLED, Health.PROTECTIVE_STOP, Health.EMERGENCY_STOP, Health.POWER])
def test_trouble_on_the_way_takes_the_word_back_and_none_is_taken_in_it(process, health):
    now = time.monotonic()
    process._resume(now)
    process._motion.resting, process._reading.qd = True, [0.0] * 6
    process._health.now = health
    process._continue_when_still(now + 0.1)
    process._resume(now)
    process._health.now = Health.GOOD
    process._continue_when_still(now + 0.2)
    assert process._held and process._motion.rested_at is None and len(process.said) == 2
