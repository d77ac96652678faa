"""The simulated cell's own port: one JSON object per line in, one JSON line out.

Commands: reset {seed}, status, state, fault {kind, seconds, rate, keep_program}, trace {seconds},
push {wrench, seconds}, camera {name, noise, delay, bump}, quit.
"""

import json
import select
import time
from collections.abc import Callable, Iterator

from prophrl_sim.controller.tcp_service import Connection, LineService
from prophrl_sim.faults import FaultRequest, Faults

_TRACE_CHUNK = 100


class ControlPort(LineService):
    """``commands`` maps a command's name to a function of the message that returns the reply's content."""

    def __init__(self, poller: select.epoll, host: str, port: int, faults: Faults, commands: dict[str, Callable]):
        super().__init__(poller, host, port)
        self._commands = commands | {"fault": self._fault}
        self._faults = faults

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        connection.pieces = iter(())

    def line(self, connection: Connection, line: str) -> None:
        reply = self.answer(line)
        if isinstance(reply, dict):
            connection.send((json.dumps(reply) + "\n").encode())
        else:
            connection.pieces = reply

    def answer(self, line: str) -> dict | Iterator[bytes]:
        """Reply to one request; a long one comes in pieces, so that the control loop is not held up."""
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("expected a JSON object")
            command = self._commands.get(message.get("cmd"))
            if command is None:
                known = ", ".join(sorted(self._commands))
                raise ValueError(f"cmd: expected one of {known}, got {message.get('cmd')!r}")
            return command(message)
        except (ValueError, TypeError, RecursionError) as error:
            return {"ok": False, "error": str(error)[:300]}

    def tick(self) -> None:
        """Send the next piece of every long reply; once per controller cycle."""
        for connection in list(self.connections.values()):
            piece = next(connection.pieces, None)
            if piece is not None:
                connection.send(piece)

    def _fault(self, message: dict) -> dict:
        request = FaultRequest.parse(message)
        self._faults.inject(request, time.monotonic())
        return {"ok": True}


def number(message: dict, name: str, default: float, low: float, high: float) -> float:
    """A number of the message within limits. Raises ValueError."""
    value = message.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
    return value


def trace_reply(commands: list[tuple], motion: list[tuple]) -> Iterator[bytes]:
    """``{"ok", "commands": [[arrival, controller time, command, [6]]...], "motion": [[tick, time, [6], [6]]...]}``."""
    yield b'{"ok": true, "commands": ['
    yield from _rows(commands)
    yield b'], "motion": ['
    yield from _rows(motion, lambda row: (row[0], row[1], row[2].tolist(), row[3].tolist()))
    yield b"]}\n"


def _rows(rows: list[tuple], plain: Callable[[tuple], tuple] = tuple) -> Iterator[bytes]:
    for start in range(0, len(rows), _TRACE_CHUNK):
        text = json.dumps([plain(row) for row in rows[start : start + _TRACE_CHUNK]])[1:-1]
        yield ((", " if start else "") + text).encode()
