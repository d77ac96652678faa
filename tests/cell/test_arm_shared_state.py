"""Shared memory between two processes: nothing torn, nothing lost silently."""

import os
import subprocess
import sys

import numpy as np
import pytest
from prophrl_cell.arm.shared_state import COMMAND, SAMPLE, STATE, ArmMemory, Mode

WRITER = """
import sys, time, numpy as np
from prophrl_cell.arm.shared_state import *
memory = ArmMemory.attach(int(sys.argv[1]))
state, sample = np.zeros((), STATE), np.zeros((), SAMPLE)
for i in range(1, int(sys.argv[2]) + 1):
    state["heartbeat"], state["cycle"], state["openness"] = i, i, i
    state["reason"] = str(i).encode() * 20
    memory.state.write(state)
    sample["stamp"] = i; sample["T_command"] = i; sample["openness"] = i
    memory.samples.publish(sample)
    if i % 32 == 0: time.sleep(0.0003)
"""


@pytest.fixture
def memory():
    memory = ArmMemory.create()
    yield memory
    memory.close()


def test_a_reader_never_sees_half_a_record(memory):
    count = 30000
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(memory.fd), str(count)], pass_fds=[memory.fd])
    seen, reads, last = 0, 0, 0.0
    try:
        while writer.poll() is None or seen + memory.samples.lost < count:
            record = memory.state.read()
            if record is not None:
                assert record["heartbeat"] == record["cycle"] == record["openness"]
                assert record["reason"].decode() == str(int(record["cycle"])) * 20
                reads += 1
            for sample in memory.samples.pop_all():
                assert sample["stamp"] == sample["openness"] and (sample["T_command"] == sample["stamp"]).all()
                assert sample["stamp"] > last
                last = float(sample["stamp"])
                seen += 1
    finally:
        writer.kill()
        writer.wait()
    assert seen + memory.samples.lost == count and last == count and reads > 20


def test_commands_are_refused_when_nobody_reads_and_kept_in_order(memory):
    record = np.zeros((), COMMAND)
    taken = 0
    while memory.commands.push(record):
        taken += 1
        record["sequence"] = taken
    assert taken == 31
    assert [int(r["sequence"]) for r in memory.commands.pop_all()] == list(range(taken))
    assert memory.commands.push(record) and memory.commands.lost == 0


def test_an_unread_ring_counts_what_it_lost(memory):
    sample = np.zeros((), SAMPLE)
    for i in range(9000):
        sample["stamp"] = i
        memory.samples.publish(sample)
    kept = memory.samples.pop_all()
    assert kept[-1]["stamp"] == 8999 and len(kept) + memory.samples.lost == 9000
    assert memory.samples.pop_all() == []


def test_a_writer_that_died_in_the_middle_is_noticed(memory):
    state = np.zeros((), STATE)
    assert memory.state.read() is None
    state["mode"] = Mode.HOLD
    memory.state.write(state)
    memory.state._seq[0] += 1
    assert memory.state.read() is None


def test_a_segment_of_another_layout_is_refused(memory):
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="expected"):
        ArmMemory.attach(fd)
    os.ftruncate(fd, ArmMemory.size())
    with pytest.raises(ValueError, match="version"):
        ArmMemory.attach(fd)
    os.close(fd)
