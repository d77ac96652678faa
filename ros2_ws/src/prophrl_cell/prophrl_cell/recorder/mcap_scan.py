"""Reads an MCAP file as far as it is whole: what a killed recorder left, or a disk has damaged since.

Nothing is taken that no CRC vouches for. What the channels are stands in several chunks and in the summary; where the
summary is whole, it also says where each chunk begins.
"""

import dataclasses
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from backports import zstd

from prophrl_cell.recorder.mcap_writer import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    MAGIC,
    MESSAGE,
    SCHEMA,
)

CHUNK_LIMIT = 1 << 30  # bytes of one chunk, unpacked; ours hold about 1 MiB
SUMMARY_LIMIT = 1 << 28  # bytes
FOOTER_LAYOUT = "<BQQQI"
DAMAGED = (struct.error, zstd.ZstdError, ValueError)  # KeyError, too, where a record refers to another


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


def scan(path: pathlib.Path, damage: Damage, use_summary: bool = True) -> Iterator[Message]:
    """Yield every message of whole chunks in file order; ``damage`` is filled in on the way.

    A chunk whose CRC does not match is skipped and counted. Without a whole summary (or without ``use_summary``) a
    record that is cut short ends the scan.
    """
    with path.open("rb") as file:
        known = _Declared()
        starts = _read_summary(file, known) if use_summary else []
        searched = False
        for raw in _listed_chunks(file, starts, damage) if starts else _walked_chunks(file, damage):
            messages = known.read(raw)
            if messages is None and not searched:
                searched = True
                with path.open("rb") as again:
                    for later in _listed_chunks(again, starts, Damage()) if starts else _walked_chunks(again, Damage()):
                        known.read(later)
                messages = known.read(raw)
            if messages is None:
                damage.chunks_bad += 1
                continue
            damage.chunks_read += 1
            yield from messages


def _listed_chunks(file: BinaryIO, starts: list[int], damage: Damage) -> Iterator[bytes]:
    """The records of every whole chunk out of those that begin at ``starts``."""
    for start in starts:
        file.seek(start)
        try:
            opcode, length = struct.unpack("<BQ", file.read(9))
            if opcode != CHUNK or length > CHUNK_LIMIT:
                raise ValueError("no chunk")
            raw = _unpack_chunk(file.read(length))
        except DAMAGED:
            damage.chunks_bad += 1
            continue
        yield raw
    damage.complete = True


def _walked_chunks(file: BinaryIO, damage: Damage) -> Iterator[bytes]:
    """The records of every whole chunk from the front to the first record that is cut short."""
    size = file.seek(0, 2)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        damage.tail_bytes = size
        return
    while True:
        at = file.tell()
        head = file.read(9)
        if len(head) < 9:
            damage.tail_bytes = len(head)
            return
        opcode, length = struct.unpack("<BQ", head)
        if length > size - file.tell():
            damage.tail_bytes = size - at
            return
        body = file.read(length)
        if opcode == DATA_END:
            damage.complete = True
            return
        if opcode != CHUNK:
            continue
        try:
            raw = _unpack_chunk(body)
        except DAMAGED:
            damage.chunks_bad += 1
            continue
        yield raw


def _read_summary(file: BinaryIO, known: "_Declared") -> list[int]:
    """Where the chunks begin, and into ``known`` what the channels are; nothing when the summary is not whole."""
    end = file.seek(0, 2) - len(MAGIC) - struct.calcsize(FOOTER_LAYOUT)
    if end <= 0:
        return []
    file.seek(end)
    footer = file.read(struct.calcsize(FOOTER_LAYOUT))
    opcode, _, start, _, crc = struct.unpack(FOOTER_LAYOUT, footer)
    if opcode != FOOTER or not 0 < start < end or end - start > SUMMARY_LIMIT or file.read() != MAGIC:
        return []
    file.seek(start)
    summary = file.read(end - start)
    if not crc or zlib.crc32(summary + footer[:-4]) != crc:
        return []
    try:
        known.read(summary)
        return sorted(struct.unpack_from("<QQQ", body)[2] for code, body in _records(summary) if code == CHUNK_INDEX)
    except DAMAGED:
        return []


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


class _Declared:
    """Schemas and channels as far as they were met."""

    def __init__(self):
        self._schemas: dict[int, tuple[str, str]] = {}
        self._channels: dict[int, Channel] = {}

    def read(self, raw: bytes) -> list[Message] | None:
        """Messages among records that a CRC vouches for; None when they refer to what was not met, or make no sense."""
        messages, unknown = [], False
        try:
            for opcode, body in _records(raw):
                if opcode == SCHEMA:
                    self._schema(body)
                elif opcode == CHANNEL:
                    self._channel(body)
                elif opcode == MESSAGE:
                    channel_id, _, log_time_ns, _ = struct.unpack_from("<HIQQ", body)
                    channel = self._channels.get(channel_id)
                    unknown |= channel is None
                    messages.append(Message(channel, log_time_ns, body[22:]))
        except (*DAMAGED, KeyError):
            return None
        return None if unknown else messages

    def _schema(self, body: bytes) -> None:
        (schema_id,) = struct.unpack_from("<H", body)
        name, end = _string(body, 2)
        _, end = _string(body, end)
        self._schemas[schema_id] = (name, _string(body, end)[0])

    def _channel(self, body: bytes) -> None:
        channel_id, schema_id = struct.unpack_from("<HH", body)
        topic, end = _string(body, 4)
        _, end = _string(body, end)
        self._channels[channel_id] = Channel(topic, *self._schemas[schema_id], _string_map(body, end))


def _records(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        opcode, length = struct.unpack_from("<BQ", raw, at)
        yield opcode, raw[at + 9 : at + 9 + length]
        at += 9 + length


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
