"""Reads single fields out of serialized messages, so that a recorder need not build message objects."""

import struct


class WireReader:
    """The fields of one message in order: XCDR1, little endian. ValueError when the bytes do not hold them."""

    def __init__(self, message: bytes):
        if bytes(message[:2]) != b"\x00\x01":
            raise ValueError(f"expected little-endian CDR (00 01), got {bytes(message[:2]).hex(' ')}")
        self._body, self._at = memoryview(message)[4:], 0

    def numbers(self, code: str, count: int = 1) -> tuple:
        """``count`` numbers of one type, as ``struct`` names it."""
        self._at += -self._at % struct.calcsize(f"<{code}")
        return self._unpack(f"<{count}{code}")

    def text(self) -> str:
        """One string."""
        (length,) = self.numbers("I")
        self._check(length)
        return self._unpack(f"<{length}s")[0].rstrip(b"\0").decode(errors="replace")

    def sequence(self, code: str) -> tuple:
        """A sequence of numbers."""
        (count,) = self.numbers("I")
        self._check(count)
        return self.numbers(code, count) if count else ()

    def header(self) -> tuple[int, str]:
        """A std_msgs/Header: stamp (ns) and frame."""
        seconds, (nanoseconds,) = self.numbers("i")[0], self.numbers("I")
        return seconds * 1_000_000_000 + nanoseconds, self.text()

    def _check(self, length: int) -> None:
        if length > len(self._body) - self._at:
            raise ValueError(f"expected a whole message, got {len(self._body) + 4} bytes that claim {length} more")

    def _unpack(self, layout: str) -> tuple:
        try:
            values = struct.unpack_from(layout, self._body, self._at)
        except struct.error as error:
            raise ValueError(f"expected a whole message, got {len(self._body) + 4} bytes: {error}") from None
        self._at += struct.calcsize(layout)
        return values
