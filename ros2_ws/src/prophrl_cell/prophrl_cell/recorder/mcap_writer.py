"""An MCAP file that survives the death of its writer.

Each chunk (at most ``chunk_bytes``, or whatever came since the last ``flush``) is written with one
system call straight to the kernel and carries a CRC, so a killed process loses only the messages
since the last chunk, and damage is found rather than read. Schemas and channels stand in the chunk
where they first appear, in the next one, in every ``DECLARE_EVERY``th after it and in the summary, so
that no damaged chunk makes others unreadable. Format: MCAP specification, mcap.dev/spec, profile
``ros2``.
"""

import dataclasses
import os
import pathlib
import struct
import zlib

from backports import zstd
from prophrl_core.episode import DiskSummary

from prophrl_cell.recorder.disk_sync import DiskSync
from prophrl_cell.recorder.disk_times import DiskTimes

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = range(0x0B, 0x10)
COMPRESSIONS = ("", "zstd")
DECLARE_EVERY = 32  # chunks


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def string_map(entries: dict[str, str]) -> bytes:
    body = b"".join(string(key) + string(value) for key, value in entries.items())
    return struct.pack("<I", len(body)) + body


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


@dataclasses.dataclass
class _Chunk:
    """Messages not yet on disk."""

    parts: list = dataclasses.field(default_factory=list)
    size: int = 0
    start_ns: int = 2**64 - 1
    end_ns: int = 0
    index: dict[int, list[tuple[int, int]]] = dataclasses.field(default_factory=dict)

    def add(self, part) -> int:
        offset = self.size
        self.parts.append(part)
        self.size += len(part)
        return offset


class McapWriter:
    """Writes one file. Not thread-safe; one thread owns it. Disk errors surface as OSError.

    With ``sync_seconds`` what was flushed is forced to the disk itself that often. After an OSError the file is cut
    back to its last whole chunk, the messages of the failed chunk are gone (``lost`` counts them per channel), and
    ``finish`` may still be called.
    """

    def __init__(
        self, path: pathlib.Path, compression: str = "zstd", level: int = 1, chunk_bytes: int = 1 << 20,
        sync_seconds: float = 0.0,
    ):
        if compression not in COMPRESSIONS:
            raise ValueError(f"expected a chunk compression out of {COMPRESSIONS}, got {compression!r}")
        self._compression = compression
        self._level = level
        self._chunk_bytes = chunk_bytes
        self._schemas: dict[str, tuple[int, bytes]] = {}
        self._channels: list[bytes] = []
        self._chunk = _Chunk()
        self._chunk_indexes: list[bytes] = []
        self._start_ns, self._end_ns = 2**64 - 1, 0
        self.counts: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self._times = DiskTimes()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._sync = DiskSync(self._fd, sync_seconds, self._times) if sync_seconds > 0 else None
        self.bytes_written = 0
        self._append(MAGIC + record(HEADER, string("ros2") + string("prophrl")))

    def add_channel(self, topic: str, type_name: str, definition: str, metadata: dict[str, str]) -> int:
        """Register a topic; returns the channel id for ``write``."""
        if type_name not in self._schemas:
            schema_id = len(self._schemas) + 1
            body = struct.pack("<H", schema_id) + string(type_name) + string("ros2msg") + string(definition)
            self._schemas[type_name] = (schema_id, record(SCHEMA, body))
            self._chunk.add(self._schemas[type_name][1])
        channel_id = len(self._channels) + 1
        body = struct.pack("<HH", channel_id, self._schemas[type_name][0])
        self._channels.append(record(CHANNEL, body + string(topic) + string("cdr") + string_map(metadata)))
        self._chunk.add(self._channels[-1])
        self.counts[channel_id] = self.lost[channel_id] = 0
        return channel_id

    def write(self, channel_id: int, log_time_ns: int, data: bytes) -> None:
        """Append one serialized message received at ``log_time_ns``; writes a chunk when it is full."""
        sequence = self.counts[channel_id] + self.lost[channel_id]
        prefix = struct.pack("<BQHIQQ", MESSAGE, 22 + len(data), channel_id, sequence, log_time_ns, log_time_ns)
        offset = self._chunk.add(prefix)
        self._chunk.add(data)
        self._chunk.start_ns = min(self._chunk.start_ns, log_time_ns)
        self._chunk.end_ns = max(self._chunk.end_ns, log_time_ns)
        self._chunk.index.setdefault(channel_id, []).append((log_time_ns, offset))
        self.counts[channel_id] += 1
        if self._chunk.size >= self._chunk_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as a chunk of its own; from here on a kill cannot take it.

        OSError, too, when an earlier chunk could not be forced to the disk.
        """
        if self._sync is not None:
            self._sync.check()
        chunk, self._chunk = self._chunk, _Chunk()
        if not chunk.index:
            self._chunk = chunk
            return
        try:
            self._write_chunk(chunk)
        except OSError:
            for channel_id, entries in chunk.index.items():
                self.counts[channel_id] -= len(entries)
                self.lost[channel_id] += len(entries)
            self._declare()
            raise
        if len(self._chunk_indexes) % DECLARE_EVERY == 1:
            self._declare()
        self._start_ns = min(self._start_ns, chunk.start_ns)
        self._end_ns = max(self._end_ns, chunk.end_ns)

    def _declare(self) -> None:
        """Let the pending chunk say what every channel is."""
        for declaration in [entry for _, entry in self._schemas.values()] + self._channels:
            self._chunk.add(declaration)

    def disk_summary(self) -> DiskSummary:
        """How long the disk has taken so far."""
        return self._times.summary()

    def finish(self, metadata: dict[str, dict[str, str]]) -> None:
        """Write pending messages, metadata records and the summary; the file is complete and synced."""
        self.flush()
        indexes = []
        for name, entries in metadata.items():
            body = record(METADATA, string(name) + string_map(entries))
            indexes.append(record(METADATA_INDEX, struct.pack("<QQ", self.bytes_written, len(body)) + string(name)))
            self._append(body)
        self._append(record(DATA_END, struct.pack("<I", 0)))
        self._append(self._summary(indexes))
        with self._times.measure(self._times.sync):
            os.fsync(self._fd)
        self.abandon()

    def abandon(self) -> None:
        """Close as it is; without ``finish`` before, the file lacks its summary and can be repaired."""
        if self._sync is not None:
            self._sync.stop()
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write_chunk(self, chunk: _Chunk) -> None:
        raw = b"".join(chunk.parts)
        packed = zstd.compress(raw, self._level) if self._compression else raw
        body = struct.pack("<QQQI", chunk.start_ns, chunk.end_ns, len(raw), zlib.crc32(raw)) + string(self._compression)
        head = struct.pack("<BQ", CHUNK, len(body) + 8 + len(packed)) + body + struct.pack("<Q", len(packed))
        start, length = self.bytes_written, len(head) + len(packed)
        indexes, offsets, at = [], b"", start + length
        for channel_id, entries in chunk.index.items():
            offsets += struct.pack("<HQ", channel_id, at)
            pairs = b"".join(struct.pack("<QQ", *entry) for entry in entries)
            indexes.append(record(MESSAGE_INDEX, struct.pack("<HI", channel_id, len(pairs)) + pairs))
            at += len(indexes[-1])
        self._append(b"".join((head, packed, *indexes)))
        self._chunk_indexes.append(record(CHUNK_INDEX, b"".join((
            struct.pack("<QQQQ", chunk.start_ns, chunk.end_ns, start, length),
            struct.pack("<I", len(offsets)), offsets,
            struct.pack("<Q", at - start - length), string(self._compression),
            struct.pack("<QQ", len(packed), len(raw)),
        ))))

    def _summary(self, metadata_indexes: list[bytes]) -> bytes:
        counts = b"".join(struct.pack("<HQ", *entry) for entry in sorted(self.counts.items()))
        start_ns = self._start_ns if self._chunk_indexes else 0
        statistics = struct.pack(
            "<QHIIIIQQI", sum(self.counts.values()), len(self._schemas), len(self._channels), 0,
            len(metadata_indexes), len(self._chunk_indexes), start_ns, self._end_ns, len(counts),
        ) + counts
        groups = (
            (SCHEMA, [entry for _, entry in self._schemas.values()]), (CHANNEL, self._channels),
            (CHUNK_INDEX, self._chunk_indexes), (METADATA_INDEX, metadata_indexes),
            (STATISTICS, [record(STATISTICS, statistics)]),
        )
        start, body, offsets = self.bytes_written, b"", b""
        for opcode, records in groups:
            if records:
                group = b"".join(records)
                offsets += record(SUMMARY_OFFSET, struct.pack("<BQQ", opcode, start + len(body), len(group)))
                body += group
        footer = struct.pack("<BQQQ", FOOTER, 20, start, start + len(body))
        crc = zlib.crc32(body + offsets + footer)
        return body + offsets + footer + struct.pack("<I", crc) + MAGIC

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            with self._times.measure(self._times.write):
                while view:
                    view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.bytes_written)
            os.lseek(self._fd, self.bytes_written, os.SEEK_SET)
            raise
        self.bytes_written += len(data)
