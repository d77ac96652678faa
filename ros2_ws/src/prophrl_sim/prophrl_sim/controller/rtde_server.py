"""RTDE, port 30004: recipes, input registers with their owners, and the data stream."""

import random
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from itertools import chain

from prophrl_sim.controller import rtde_protocol as rtde
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.tcp_service import Connection, Service

CONTROLLER_VERSION = (5, 19, 0, 1210631)
CONTROLLER_RATE = 500.0
STREAM_BACKLOG = 256 << 10
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_TRACE_LENGTH = 60 * 500


class RtdeClient:
    """What one connection has agreed on."""

    def __init__(self):
        self.buffer = bytearray()
        self.version = 1
        self.inputs: dict[int, rtde.Recipe] = {}
        self.output: rtde.Recipe | None = None
        self.divisor = 1
        self.started = False
        self.owned: set[str] = set()
        self.last_data_size = 0

    @property
    def wanted_bytes(self) -> int:
        """How much to read at once: the rest of a package like the last, so that each gets its own arrival time."""
        return max(1, self.last_data_size - len(self.buffer)) if self.last_data_size else rtde.MAX_PACKAGE


class RtdeServer(Service):
    """Serves the RTDE protocol over ``state``'s registers and fields.

    ``trace`` keeps, per data package that carries a motion command, (arrival by the kernel's clock in
    monotonic seconds, controller time, command number, first six input doubles).
    """

    def __init__(self, poller: select.epoll, host: str, state: RobotState, subscribed: Callable[[set[str]], None]):
        super().__init__(poller, host, 30004)
        self.state, self.registers = state, state.registers
        self._subscribed = subscribed
        self._owners: dict[str, Connection] = {}
        self._ticks = 0
        self.last_update: dict[str, float] = {}
        self.trace: deque[tuple] = deque(maxlen=_TRACE_LENGTH)
        self.silent = False
        self.drop_rate = 0.0
        self.inputs_taken = False
        self._dice = random.Random(0)
        self._answers = {
            rtde.REQUEST_PROTOCOL_VERSION: self._protocol_version,
            rtde.GET_URCONTROL_VERSION: self._controller_version,
            rtde.SETUP_OUTPUTS: self._setup_outputs,
            rtde.SETUP_INPUTS: self._setup_inputs,
            rtde.START: lambda connection, payload: self._start(connection, True),
            rtde.PAUSE: lambda connection, payload: self._start(connection, False),
            rtde.DATA_PACKAGE: self._data,
            rtde.TEXT_MESSAGE: lambda connection, payload: None,
        }

    def connected(self, connection: Connection) -> None:
        connection.client = RtdeClient()
        connection.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def disconnected(self, connection: Connection) -> None:
        for name in connection.client.owned:
            self._owners.pop(name, None)
        self._announce()

    def received(self, connection: Connection) -> None:
        client = connection.client
        try:
            data, ancillary, _, _ = connection.sock.recvmsg(client.wanted_bytes, 64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            connection.close()
            return
        self._arrival = _arrival_time(ancillary)
        client.buffer += data
        try:
            for kind, payload in rtde.split_packages(client.buffer):
                client.last_data_size = len(payload) + 3 if kind == rtde.DATA_PACKAGE else 0
                self._answers[kind](connection, payload)
        except rtde.ProtocolError:
            connection.close()

    def stream(self) -> None:
        """Send every due data package; once per controller tick."""
        self._ticks += 1
        if self.silent:
            return
        fields = self.registers.fields
        for connection in list(self.connections.values()):
            client = connection.client
            if not client.started or client.output is None or self._ticks % client.divisor:
                continue
            if self.drop_rate and self._dice.random() < self.drop_rate:
                continue
            if connection.backlog > STREAM_BACKLOG:
                continue
            connection.send(client.output.package(chain.from_iterable([fields[n] for n in client.output.names])))
        self.sweep()

    def send_garbage(self) -> None:
        """A package no client can make sense of, to every client."""
        for connection in list(self.connections.values()):
            connection.send(b"\xff\xff\x7e" + bytes(self._dice.randrange(256) for _ in range(61)))

    def _protocol_version(self, connection: Connection, payload: bytes) -> None:
        accepted = payload == b"\x00\x02"
        connection.client.version = 2 if accepted else connection.client.version
        connection.send(rtde.package(rtde.REQUEST_PROTOCOL_VERSION, bytes((accepted,))))

    def _controller_version(self, connection: Connection, payload: bytes) -> None:
        connection.send(rtde.package(rtde.GET_URCONTROL_VERSION, struct.pack(">4I", *CONTROLLER_VERSION)))

    def _setup_outputs(self, connection: Connection, payload: bytes) -> None:
        if connection.client.version != 2:
            raise rtde.ProtocolError("this controller speaks version 2 of the protocol")
        frequency, names = rtde.parse_output_setup(payload)
        types = [rtde.OUTPUT_TYPES.get(name, "NOT_FOUND") for name in names]
        recipe_id = 0
        if names and "NOT_FOUND" not in types and 1.0 <= frequency <= CONTROLLER_RATE:
            recipe_id = 1
            connection.client.output = rtde.Recipe.build(recipe_id, names, rtde.OUTPUT_TYPES)
            connection.client.divisor = max(1, round(CONTROLLER_RATE / frequency))
            self._announce()
        connection.send(rtde.package(rtde.SETUP_OUTPUTS, bytes((recipe_id,)) + ",".join(types).encode()))

    def _setup_inputs(self, connection: Connection, payload: bytes) -> None:
        client, names = connection.client, rtde.field_names(payload)
        types = []
        for name in names:
            owner = self._owners.get(name)
            taken = self.inputs_taken or (owner is not None and owner is not connection)
            types.append("IN_USE" if taken and name in rtde.INPUT_TYPES else rtde.INPUT_TYPES.get(name, "NOT_FOUND"))
        recipe_id = 0
        if names and not {"IN_USE", "NOT_FOUND"} & set(types) and len(client.inputs) < 255:
            recipe_id = len(client.inputs) + 1
            client.inputs[recipe_id] = rtde.Recipe.build(recipe_id, names, rtde.INPUT_TYPES)
            for name in names:
                self._owners[name] = connection
                client.owned.add(name)
        connection.send(rtde.package(rtde.SETUP_INPUTS, bytes((recipe_id,)) + ",".join(types).encode()))

    def _start(self, connection: Connection, started: bool) -> None:
        accepted = connection.client.output is not None or bool(connection.client.inputs)
        connection.client.started = started and accepted
        connection.send(rtde.package(rtde.START if started else rtde.PAUSE, bytes((accepted,))))

    def _data(self, connection: Connection, payload: bytes) -> None:
        recipe = connection.client.inputs.get(payload[0]) if payload else None
        if recipe is None:
            raise rtde.ProtocolError("data package of an unknown recipe")
        if self.drop_rate and self._dice.random() < self.drop_rate:
            return
        words = dict(recipe.parse(payload[1:]))
        for name, numbers in words.items():
            self._write(name, numbers)
            self.last_update[name] = self.state.time
        self._write_outputs(words)
        if "input_double_register_5" in words or "input_double_register_29" in words:
            offset = 0 if "input_double_register_5" in words else 24
            command = self.registers.input_int[offset]
            target = tuple(self.registers.input_double[offset : offset + 6])
            self.trace.append((self._arrival, self.state.time, command, target))

    def _write(self, name: str, numbers: tuple) -> None:
        kind, _, index = name.rpartition("_")
        if kind == "input_int_register":
            self.registers.set_input_int(int(index), numbers[0])
        elif kind == "input_double_register":
            self.registers.set_input_double(int(index), numbers[0])
        elif kind == "input_bit_register":
            self.registers.fields[name] = numbers

    def _write_outputs(self, words: dict[str, tuple]) -> None:
        """Masked outputs: digital words, analog outputs, the speed slider."""
        registers = self.registers
        for name, shift, bits in _DIGITAL:
            if f"{name}_output_mask" in words and f"{name}_output" in words:
                mask = words[f"{name}_output_mask"][0] & bits
                value = words[f"{name}_output"][0] & mask
                registers.set_digital_outputs(registers.digital_outputs & ~(mask << shift) | value << shift)
        if "speed_slider_mask" in words and words["speed_slider_mask"][0]:
            self.state.set_speed_slider(words.get("speed_slider_fraction", (1.0,))[0])
        for i in range(2):
            if words.get("standard_analog_output_mask", (0,))[0] & 1 << i and f"standard_analog_output_{i}" in words:
                registers.fields[f"standard_analog_output{i}"] = words[f"standard_analog_output_{i}"]

    def _announce(self) -> None:
        recipes = [c.client.output for c in self.connections.values() if c.client.output]
        self._subscribed({name for recipe in recipes for name in recipe.names})


_DIGITAL = (("standard_digital", 0, 0xFF), ("configurable_digital", 8, 0xFF), ("tool_digital", 16, 0x03))


def _arrival_time(ancillary: list) -> float:
    """Monotonic seconds at which the kernel took the last bytes read; now, where it does not say."""
    now = time.monotonic()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return now - (time.time_ns() - seconds * 10**9 - nanoseconds) * 1e-9
    return now
