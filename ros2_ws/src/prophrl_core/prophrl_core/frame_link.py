"""The wire between a frame server (simulator, test) and an injected camera.

The camera connects over TCP and sends one JSON line ``{"camera": NAME}``; the server answers with one
JSON line (CameraInfoLine) and then sends frames: a 64-byte little-endian header followed by the
pixels. Everything is bounded: a header that does not fit the announced camera ends the link.
"""

import dataclasses
import json
import socket
import struct

import numpy as np

from prophrl_core.camera import CameraModel

MAGIC = b"PRFR"
VERSION = 1
COLOUR, DEPTH = 0, 1
_HEADER = struct.Struct("<4sHHIIIQdQ20x")
_LINE_LIMIT = 4096
_CHANNELS = {COLOUR: (3, np.uint8), DEPTH: (1, np.uint16)}
assert _HEADER.size == 64


class FrameLinkError(Exception):
    """The other side broke the protocol or went away."""


@dataclasses.dataclass(frozen=True)
class CameraInfoLine:
    """What the server says of the camera; ``depth_scale`` is metres per depth unit."""

    name: str
    serial: str
    model: CameraModel
    fps: int
    depth: bool
    depth_scale: float = 0.001

    def encode(self) -> bytes:
        """One JSON line."""
        return (json.dumps(dataclasses.asdict(self)) + "\n").encode()

    @classmethod
    def decode(cls, line: bytes) -> "CameraInfoLine":
        """Inverse of ``encode``; FrameLinkError on anything else."""
        try:
            data = json.loads(line)
            if "error" in data:
                raise FrameLinkError(str(data["error"])[:200])
            model = dict(data.pop("model"))
            model["distortion"] = tuple(float(v) for v in model["distortion"])
            info = cls(model=CameraModel(**model), **data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FrameLinkError(f"expected a camera description line, got {line[:80]!r}") from error
        if not (0 < info.model.width <= 4096 and 0 < info.model.height <= 4096):
            raise FrameLinkError(f"expected an image of at most 4096 x 4096, got {info.model.width}x{info.model.height}")
        return info


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image: ``pixels`` is (H, W, 3) uint8 RGB or (H, W) uint16; ``timestamp_ms`` by the device's clock."""

    stream: int
    number: int
    timestamp_ms: float
    pixels: np.ndarray


def send_frame(sock: socket.socket, frame: Frame) -> None:
    """Send one frame on a connected socket."""
    channels, dtype = _CHANNELS[frame.stream]
    pixels = np.ascontiguousarray(frame.pixels, dtype=dtype)
    height, width = pixels.shape[:2]
    header = _HEADER.pack(
        MAGIC, VERSION, frame.stream, width, height, channels * pixels.itemsize, frame.number,
        frame.timestamp_ms, pixels.nbytes,
    )
    sock.sendall(header)
    sock.sendall(memoryview(pixels).cast("B"))


def read_line(sock: socket.socket) -> bytes:
    """One line of at most 4 KiB; FrameLinkError when it is longer or the peer closes."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            raise FrameLinkError("the frame server closed the connection")
        line += byte
        if len(line) > _LINE_LIMIT:
            raise FrameLinkError("expected a line of at most 4 KiB")
    return bytes(line)


class FrameReceiver:
    """The camera's end of the link. ``timeout`` (s) bounds connecting and every receive."""

    def __init__(self, host: str, port: int, camera: str, timeout: float = 2.0):
        self._sock = socket.create_connection((host, port), timeout=timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            self._sock.sendall((json.dumps({"camera": camera}) + "\n").encode())
            self.info = CameraInfoLine.decode(read_line(self._sock))
        except BaseException:
            self._sock.close()
            raise
        self._header = bytearray(_HEADER.size)

    def _fill(self, buffer) -> None:
        view = memoryview(buffer).cast("B")
        while len(view):
            n = self._sock.recv_into(view)
            if n == 0:
                raise FrameLinkError("the frame server closed the connection")
            view = view[n:]

    def receive(self) -> Frame:
        """The next frame. Raises FrameLinkError on a broken link and TimeoutError when none comes in time."""
        self._fill(self._header)
        magic, version, stream, width, height, pixel_bytes, number, stamp, size = _HEADER.unpack(self._header)
        if magic != MAGIC or version != VERSION or stream not in _CHANNELS:
            raise FrameLinkError(f"expected a frame header, got {bytes(self._header[:8])!r}")
        channels, dtype = _CHANNELS[stream]
        expected = (self.info.model.width, self.info.model.height, channels * np.dtype(dtype).itemsize)
        if (width, height, pixel_bytes) != expected or size != width * height * pixel_bytes:
            raise FrameLinkError(f"expected a frame of {expected}, got {(width, height, pixel_bytes)} in {size} bytes")
        pixels = np.empty((height, width, channels) if channels > 1 else (height, width), dtype)
        self._fill(pixels)
        return Frame(stream, number, stamp, pixels)

    def close(self) -> None:
        """Close the link; a blocked ``receive`` ends with an error."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._sock.close()
