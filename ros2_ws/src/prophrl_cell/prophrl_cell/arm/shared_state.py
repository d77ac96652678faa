"""Shared memory between arm_node and the RTDE process: state, samples, commands, events, executed steps.

One anonymous memory file (``memfd``) is created by the node and inherited by the process, so nothing is
left behind when either is killed. Every block (see blocks.py) has one writer.
Times are CLOCK_MONOTONIC seconds; lengths m, angles rad, forces N and N m, frames ``base`` unless said.
"""

import enum
import mmap
import os

import numpy as np

from prophrl_cell.arm.blocks import Ring, Seqlock

MAX_CHUNK_STEPS = 64
_MAGIC = 0x70726F7068726C31


class Mode(enum.IntEnum):
    """What the arm is doing; the same numbers as ``prophrl_interfaces/ArmStatus``."""

    DISCONNECTED = 0
    STARTING = 1
    HOLD = 2
    READY = 3
    MOVING = 4
    EXECUTING = 5
    PROTECTIVE_STOP = 6
    EMERGENCY_STOP = 7
    FAULT = 8
    FREEDRIVE = 9


class Control(enum.IntEnum):
    """Who moves the arm; the same numbers as ``prophrl_interfaces/ArmStatus``."""

    NONE = 0
    POLICY = 1
    TELEOP = 2
    REPLAY = 3


class Source(enum.IntEnum):
    """Where actions come from; the same numbers as ``prophrl_interfaces/ActionChunk``."""

    POLICY = 0
    TELEOP = 1
    REPLAY = 2
    FREEDRIVE = 3


class Command(enum.IntEnum):
    """What the node may ask of the process."""

    CHUNK = 1
    HOME = 2
    HOLD = 3
    RESUME = 4
    EPISODE_START = 5
    EPISODE_STOP = 6
    SHUTDOWN = 7


class EventKind(enum.IntEnum):
    """Entries of the event ring."""

    CLAMPED = 0  # the first three are EnvelopeEvent.ACTION_*
    REFUSED = 1
    STOPPED = 2
    LOG = 3


class Exit(enum.IntEnum):
    """Why the process ended."""

    STOPPED = 0  # it was asked to
    REFUSED = 2  # it cannot be started; the reason is in the state
    LINK_LOST = 3
    BUG = 4


STATE = np.dtype(
    [
        ("heartbeat", "f8"),  # last servo cycle
        ("cycle", "u8"),
        ("mode", "u1"),
        ("reason", "S240"),
        ("robot_mode", "i4"),
        ("safety_mode", "i4"),
        ("runtime_state", "i4"),
        ("speed_scaling", "f8"),
        ("servo_rate", "f8"),
        ("missed_cycles", "u8"),
        ("envelope_events", "u8"),
        ("realtime", "u1"),
        ("episode_id", "S64"),
        ("openness", "f8"),  # commanded
        ("control", "u1"),
    ]
)

SAMPLE = np.dtype(
    [
        ("stamp", "f8"),  # when the record was read from the client
        ("controller_time", "f8"),  # s since the controller booted
        ("q", "f8", 6),
        ("qd", "f8", 6),
        ("tcp_pose", "f8", 6),  # measured, UR pose vector
        ("wrench", "f8", 6),  # at the TCP
        ("q_command", "f8", 6),
        ("T_command", "f8", (4, 4)),
        ("command_stamp", "f8"),  # when the commanded reference went out
        ("openness", "f8"),
    ]
)

COMMAND = np.dtype(
    [
        ("kind", "u1"),
        ("source", "u1"),
        ("episode_id", "S64"),
        ("spec_id", "S16"),
        ("policy_version", "S128"),
        ("sequence", "u4"),
        ("step_period", "f8"),
        ("observation_time", "f8"),
        ("steps", "u4"),
        ("dims", "u4"),
        ("actions", "f4", (MAX_CHUNK_STEPS, 7)),
    ]
)

TELEOP = np.dtype(
    [
        ("serial", "u8"),  # counts the messages
        ("arrived", "f8"),
        ("stamp", "f8"),  # when the device was read, by the message
        ("deadman", "u1"),
        ("freedrive", "u1"),
        ("frame", "u1"),  # TeleopCommand.FRAME_*
        ("twist", "f8", 6),  # m/s, rad/s
        ("openness", "f8"),  # NaN: leave it
    ]
)

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("stamp", "f8"),
        ("limit", "S24"),
        ("value", "f8"),
        ("bound", "f8"),
        ("unit", "S8"),
        ("detail", "S240"),
        ("episode_id", "S64"),
    ]
)

EXECUTED = np.dtype(
    [
        ("stamp", "f8"),
        ("episode_id", "S64"),
        ("policy_version", "S128"),
        ("source", "u1"),
        ("sequence", "u4"),
        ("step", "u4"),
        ("proposed", "f4", 7),
        ("executed", "f4", 7),
        ("clamped", "u1"),
        ("observation_age", "f8"),
    ]
)


class ArmMemory:
    """All blocks of one RTDE process; ``create`` in the node, ``attach`` in the process."""

    _RINGS = ((SAMPLE, 4096), (COMMAND, 32), (EVENT, 256), (EXECUTED, 256))

    def __init__(self, fd: int):
        self.fd = fd
        self._map = mmap.mmap(fd, self.size())
        view = memoryview(self._map)
        self._magic = np.frombuffer(view, "u8", 1)
        self.state = Seqlock(view[64:], STATE)
        offset, rings = 64 + Seqlock.size(STATE), []
        self.teleop = Seqlock(view[offset:], TELEOP)  # the newest only: a flood must not hold up other commands
        offset += Seqlock.size(TELEOP)
        for dtype, capacity in self._RINGS:
            rings.append(Ring(view[offset:], dtype, capacity))
            offset += Ring.size(dtype, capacity)
        self.samples, self.commands, self.events, self.executed = rings

    @classmethod
    def size(cls) -> int:
        """Bytes of the whole segment."""
        return 64 + Seqlock.size(STATE) + Seqlock.size(TELEOP) + sum(Ring.size(d, n) for d, n in cls._RINGS)

    @classmethod
    def create(cls) -> "ArmMemory":
        """A fresh zeroed segment behind an inheritable file descriptor."""
        fd = os.memfd_create("prophrl_arm", os.MFD_CLOEXEC)
        os.ftruncate(fd, cls.size())
        memory = cls(fd)
        memory._magic[0] = _MAGIC ^ cls.size()
        return memory

    @classmethod
    def attach(cls, fd: int) -> "ArmMemory":
        """Map the segment behind an inherited descriptor; ValueError when its layout is another version's."""
        if os.fstat(fd).st_size != cls.size():
            raise ValueError(f"arm memory: expected {cls.size()} bytes, got {os.fstat(fd).st_size}")
        memory = cls(fd)
        if int(memory._magic[0]) != _MAGIC ^ cls.size():
            raise ValueError("arm memory: the segment was laid out by another version")
        return memory

    def close(self) -> None:
        """Drop the descriptor; the pages go with the last mapping."""
        os.close(self.fd)
