"""The primary (30001), secondary (30002) and realtime (30003) ports: they take URScript programs.

The state messages these ports stream on a real controller are not sent: RTDE replaces them for every
client of this project.
"""

import select
from collections.abc import Callable

from prophrl_sim.controller.tcp_service import Connection, Service
from prophrl_sim.controller.urscript import MAX_PROGRAM

SCRIPT_PORTS = (30001, 30002, 30003)


class ScriptPort(Service):
    """Hands each complete program to ``run_program``: from ``def`` to its ``end`` at column 0, or one line."""

    def __init__(self, poller: select.epoll, host: str, port: int, run_program: Callable[[str], None]):
        super().__init__(poller, host, port)
        self._run_program = run_program

    def connected(self, connection: Connection) -> None:
        connection.text = bytearray()
        connection.program = []

    def received(self, connection: Connection) -> None:
        connection.text += connection.receive()
        *lines, rest = bytes(connection.text).split(b"\n")
        connection.text = bytearray(rest)
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            if connection.program or line.startswith(("def ", "sec ")):
                connection.program.append(line)
                if line.rstrip() == "end":
                    program, connection.program = "\n".join(connection.program) + "\n", []
                    self._run_program(program)
            elif line.strip():
                self._run_program(line + "\n")
        if len(connection.text) + sum(map(len, connection.program)) > MAX_PROGRAM:
            connection.close()
