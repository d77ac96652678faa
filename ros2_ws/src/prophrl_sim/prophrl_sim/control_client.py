"""Talks to the control port of a simulated cell: one JSON object per line each way."""

import json
import socket

REPLY_LIMIT = 256 << 20


class ControlError(Exception):
    """The cell refused the request, or its control port cannot be reached; one line."""


class ControlClient:
    """Connects on first use and again after an error. ``timeout`` (s) bounds every step."""

    def __init__(self, host: str, port: int = 63399, timeout: float = 2.0):
        self.host, self.port, self.timeout = host, port, timeout
        self._sock: socket.socket | None = None

    def request(self, command: str, **content) -> dict:
        """Send ``{"cmd": command, **content}``; the reply. Raises ControlError."""
        try:
            if self._sock is None:
                self._sock = socket.create_connection((self.host, self.port), self.timeout)
            self._sock.sendall((json.dumps({"cmd": command, **content}) + "\n").encode())
            reply = json.loads(self._line())
        except (OSError, ValueError) as error:
            self.close()
            raise ControlError(f"control port {self.host}:{self.port}: {error}") from error
        if not reply.get("ok"):
            raise ControlError(f"control port {self.host}:{self.port}: {command}: {reply.get('error', 'refused')}")
        return reply

    def _line(self) -> bytes:
        reply = bytearray()
        while not reply.endswith(b"\n"):
            data = self._sock.recv(1 << 20)
            if not data:
                raise OSError("connection closed")
            reply += data
            if len(reply) > REPLY_LIMIT:
                raise ValueError("endless reply")
        return bytes(reply)

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
