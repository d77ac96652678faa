"""Reads an MCAP file front to back, as far as it is whole: what a killed recorder left behind."""

import dataclasses
import pathlib
import struct
import zlib
from collections.abc import Iterator

from backports import zstd

from prophrl_cell.recorder.mcap_writer import CHANNEL, CHUNK, DATA_END, MAGIC, MESSAGE, SCHEMA

CHUNK_LIMIT = 1 << 30  # bytes of one chunk, unpacked; ours hold about 1 MiB


@dataclasses.dataclass(frozen=True)
class Channel:
    topic: str
    type_name: str
    definition: str
    metadata: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Message:
    channel: Channel
    log_time_ns: int
    data: bytes


@dataclasses.dataclass
class Damage:
    """What the scan met; ``complete`` only when the data section ended as written."""

    complete: bool = False
    chunks_read: int = 0
    chunks_bad: int = 0
    tail_bytes: int = 0


def scan(path: pathlib.Path, damage: Damage) -> Iterator[Message]:
    """Yield every message of whole chunks in file order; ``damage`` is filled in on the way.

    A chunk whose CRC does not match is skipped and counted; a record cut short ends the scan.
    """
    schemas: dict[int, tuple[str, str]] = {}
    channels: dict[int, Channel] = {}
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            damage.tail_bytes = path.stat().st_size
            return
        while True:
            at = file.tell()
            head = file.read(9)
            if len(head) < 9:
                damage.tail_bytes = len(head)
                return
            opcode, length = struct.unpack("<BQ", head)
            if length > path.stat().st_size - file.tell():
                damage.tail_bytes = path.stat().st_size - at
                return
            body = file.read(length)
            if opcode == DATA_END:
                damage.complete = True
                return
            if opcode != CHUNK:
                continue
            try:
                messages = _chunk_messages(_unpack_chunk(body), schemas, channels)
            except (struct.error, zstd.ZstdError, ValueError, KeyError):
                damage.chunks_bad += 1
                continue
            damage.chunks_read += 1
            yield from messages


def _unpack_chunk(body: bytes) -> bytes:
    """The records of a chunk; ValueError, struct.error or ZstdError when any of it is damaged."""
    _, _, size, crc = struct.unpack_from("<QQQI", body)
    compression, at = _string(body, 28)
    packed = body[at + 8 :]
    if size > CHUNK_LIMIT:
        raise ValueError(f"chunk claims {size} bytes")
    raw = zstd.ZstdDecompressor().decompress(packed, size + 1) if compression == "zstd" else packed
    if len(raw) != size or zlib.crc32(raw) != crc:
        raise ValueError("chunk checksum mismatch")
    return raw


def _chunk_messages(raw: bytes, schemas: dict, channels: dict) -> list[Message]:
    """Messages of one chunk; KeyError when the chunk that declared their channel was damaged."""
    messages, at = [], 0
    while at < len(raw):
        opcode, length = struct.unpack_from("<BQ", raw, at)
        body, at = raw[at + 9 : at + 9 + length], at + 9 + length
        if opcode == SCHEMA:
            (schema_id,) = struct.unpack_from("<H", body)
            name, end = _string(body, 2)
            _, end = _string(body, end)
            schemas[schema_id] = (name, _string(body, end)[0])
        elif opcode == CHANNEL:
            channel_id, schema_id = struct.unpack_from("<HH", body)
            topic, end = _string(body, 4)
            _, end = _string(body, end)
            channels[channel_id] = Channel(topic, *schemas[schema_id], _string_map(body, end))
        elif opcode == MESSAGE:
            channel_id, _, log_time_ns, _ = struct.unpack_from("<HIQQ", body)
            messages.append(Message(channels[channel_id], log_time_ns, body[22:]))
    return messages


def _string(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", body, at)
    return body[at + 4 : at + 4 + length].decode(), at + 4 + length


def _string_map(body: bytes, at: int) -> dict[str, str]:
    (length,) = struct.unpack_from("<I", body, at)
    entries, at, end = {}, at + 4, at + 4 + length
    while at < end:
        key, at = _string(body, at)
        entries[key], at = _string(body, at)
    return entries
