"""sensor_msgs/Image and CompressedImage as CDR bytes, without building message objects.

A 640x480 colour image is 0.9 MB; every conversion between a message object and its wire form
copies it again. Cameras write the wire form once and the recorder reads pixels straight out of
it. Layout: XCDR1 little endian, strings and sequences with a 4-byte length, fields aligned to
their size counted from the end of the 4-byte encapsulation header (OMG DDS-RTPS 10.2, XTypes 7.4).
"""

import dataclasses
import struct

import numpy as np

ENCAPSULATION = b"\x00\x01\x00\x00"
CHANNELS = {"rgb8": (np.uint8, 3), "bgr8": (np.uint8, 3), "mono8": (np.uint8, 1), "16UC1": (np.uint16, 1)}


def _string(text: str, at: int) -> bytes:
    """A CDR string that starts at body offset ``at``, with its leading padding."""
    raw = text.encode() + b"\0"
    return b"\0" * (-at % 4) + struct.pack("<I", len(raw)) + raw


def _header(stamp_ns: int, frame_id: str) -> bytes:
    return struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000)) + _string(frame_id, 8)


def image_message(stamp_ns: int, frame_id: str, encoding: str, pixels: np.ndarray) -> bytes:
    """CDR of a sensor_msgs/Image; ``pixels`` (H, W[, C]) contiguous in the encoding's type."""
    height, width = pixels.shape[:2]
    body = bytearray(_header(stamp_ns, frame_id))
    body += b"\0" * (-len(body) % 4) + struct.pack("<II", height, width)
    body += _string(encoding, len(body))
    body += b"\0"  # is_bigendian
    body += b"\0" * (-len(body) % 4) + struct.pack("<II", pixels.strides[0], pixels.nbytes)
    return b"".join((ENCAPSULATION, body, memoryview(pixels).cast("B")))


def compressed_image_message(stamp_ns: int, frame_id: str, codec: str, data) -> bytes:
    """CDR of a sensor_msgs/CompressedImage; ``data`` is any bytes-like object."""
    body = bytearray(_header(stamp_ns, frame_id))
    body += _string(codec, len(body))
    body += b"\0" * (-len(body) % 4) + struct.pack("<I", len(data))
    return b"".join((ENCAPSULATION, body, data))


@dataclasses.dataclass(frozen=True)
class ImageView:
    """An Image read in place: ``pixels`` (H, W, C) or (H, W) aliases the message bytes."""

    stamp_ns: int
    frame_id: str
    encoding: str
    pixels: np.ndarray


def read_image(message: bytes) -> ImageView:
    """View of a serialized sensor_msgs/Image.

    Raises ValueError for truncated bytes, an empty picture, big-endian encapsulation or an unknown encoding.
    """
    if bytes(message[:2]) != ENCAPSULATION[:2]:
        raise ValueError(f"expected little-endian CDR (00 01), got {bytes(message[:2]).hex(' ')}")
    body = memoryview(message)[4:]
    try:
        stamp_ns, frame_id, at = _read_header(body)
        at += -at % 4
        height, width = struct.unpack_from("<II", body, at)
        encoding, at = _read_string(body, at + 8)
        at += 1
        at += -at % 4
        step, size = struct.unpack_from("<II", body, at)
    except struct.error as error:
        raise ValueError(f"expected a whole Image message, got {len(message)} bytes: {error}") from None
    if encoding not in CHANNELS:
        raise ValueError(f"expected an encoding out of {sorted(CHANNELS)}, got {encoding!r}")
    if not height or not width:
        raise ValueError(f"expected a picture, got one of {width}x{height}")
    dtype, channels = CHANNELS[encoding]
    row = width * channels * np.dtype(dtype).itemsize
    if step < row or size != step * height or len(body) < at + 8 + size:
        raise ValueError(f"expected {height} rows of {row} bytes, got step {step}, size {size}, {len(body)} bytes")
    rows = np.frombuffer(body, np.uint8, size, at + 8).reshape(height, step)[:, :row]
    pixels = rows.view(dtype)
    return ImageView(stamp_ns, frame_id, encoding, pixels.reshape(height, width, channels) if channels > 1 else pixels)


def header_stamp_ns(message: bytes) -> int:
    """Stamp (ns) of any serialized message whose first field is a std_msgs/Header."""
    seconds, nanoseconds = struct.unpack_from("<iI", message, 4)
    return seconds * 1_000_000_000 + nanoseconds


def _read_header(body: memoryview) -> tuple[int, str, int]:
    seconds, nanoseconds = struct.unpack_from("<iI", body, 0)
    frame_id, at = _read_string(body, 8)
    return seconds * 1_000_000_000 + nanoseconds, frame_id, at


def _read_string(body: memoryview, at: int) -> tuple[str, int]:
    at += -at % 4
    (length,) = struct.unpack_from("<I", body, at)
    return bytes(body[at + 4 : at + 3 + length]).decode(), at + 4 + length
