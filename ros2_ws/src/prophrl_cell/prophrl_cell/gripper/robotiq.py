"""Robotiq two-finger grippers through the URCap's socket on the controller (port 63352).

Text lines: ``GET VAR`` answers ``VAR n``, ``SET VAR n VAR n`` answers ``ack``. Registers after Robotiq's 2F
manual: ACT activate, GTO go, POS 0 open to 255 closed, SPE, FOR, STA 3 active, FLT fault, OBJ 0 moving,
1/2 stopped by an object while opening/closing, 3 at the requested position.
"""

import socket
import time

from prophrl_cell.gripper.driver import GripperReading

_TIMEOUT = 1.0  # s for one answer
_ACTIVATION_LIMIT = 8.0  # s
_FAULTS = {
    5: "wait for the activation", 7: "activate first", 8: "too hot, let it cool", 9: "no communication",
    10: "supply too low", 11: "released in an emergency", 12: "internal fault", 13: "activation failed",
    14: "current too high", 15: "released in an emergency, reset it",
}  # fmt: skip


class RobotiqGripper:
    """One gripper; not thread-safe."""

    def __init__(self, ip: str, port: int = 63352):
        self._socket = socket.create_connection((ip, port), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("r", encoding="ascii", errors="replace", newline="\n")

    def activate(self) -> None:
        if self._get("STA") == 3:
            return
        self._set(ACT=0)
        self._set(ACT=1, GTO=1)
        deadline = time.monotonic() + _ACTIVATION_LIMIT
        while self._get("STA") != 3:
            if time.monotonic() > deadline:
                raise OSError(
                    f"the gripper did not activate within {_ACTIVATION_LIMIT:.0f} s (fault {self._get('FLT')})"
                )
            time.sleep(0.05)

    def command(self, openness: float, speed: float, force: float) -> None:
        position = round((1.0 - min(max(openness, 0.0), 1.0)) * 255)
        self._set(POS=position, SPE=_byte(speed), FOR=_byte(force), GTO=1)

    def read(self) -> GripperReading:
        activated, moving_or_object = self._get("STA") == 3, self._get("OBJ")
        fault = self._get("FLT")
        return GripperReading(
            activated=activated,
            openness=1.0 - self._get("POS") / 255.0,
            moving=activated and moving_or_object == 0,
            object_detected=moving_or_object in (1, 2),
            fault=fault,
            reason=f"gripper fault {fault}: {_FAULTS.get(fault, 'see the manual')}" if fault else "",
        )

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _get(self, name: str) -> int:
        words = self._ask(f"GET {name}").split()
        if len(words) != 2 or words[0] != name or not words[1].lstrip("-").isdigit():
            raise OSError(
                f"gripper: expected '{name} <number>', got {' '.join(words)!r}; is the Robotiq URCap running?"
            )
        return int(words[1])

    def _set(self, **values: int) -> None:
        text = " ".join(f"{name} {value}" for name, value in values.items())
        answer = self._ask(f"SET {text}")
        if answer != "ack":
            raise OSError(f"gripper: expected 'ack' to 'SET {text}', got {answer!r}; is the Robotiq URCap running?")

    def _ask(self, line: str) -> str:
        self._socket.sendall((line + "\n").encode())
        answer = self._lines.readline(256)
        if not answer:
            raise ConnectionError("gripper: the socket was closed by the controller")
        return answer.strip()


def _byte(fraction: float) -> int:
    return round(min(max(fraction, 0.0), 1.0) * 255)
