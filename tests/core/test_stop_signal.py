"""A process that is asked twice to end still ends cleanly."""

import signal
import sys

import pytest

PROGRAM = """
import time
from prophrl_core.stop_signal import StopSignal
stop = StopSignal()
assert not stop
print("waiting", flush=True)
while not stop: time.sleep(0.01)
print("ending", flush=True)
time.sleep(1.0)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_does_not_kill(process, first):
    program = process([sys.executable, "-c", PROGRAM])
    program.wait_for("waiting")
    program.signal(first)
    program.wait_for("ending")
    program.signal(signal.SIGINT)
    assert program.wait(10) == 0, program.output()

