"""Reads an episode back: pictures and series, from the bag and ``episode.json``, without ROS.

    episode = read_episode("runs/demo/episodes/20261121-034500-grasp_bottle-000")
    for t, image in episode.frames("front"): ...           # (H, W, 3) uint8 RGB
    target = episode.series("/arm/target")                  # {"t": (N,), "tcp.position.x": (N,), "joints": (N, 6), ...}

Times are wall-clock seconds, as ``episode.meta.started``: ``t`` is the header stamp where a message has one and
the receive time otherwise; stamps inside messages ("header.stamp") come out as seconds, too.
"""

import contextlib
import dataclasses
import functools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml
from backports import zstd
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2.errors import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import TypesysError

from prophrl_core.episode import EpisodeMeta, read_meta
from prophrl_core.errors import UserError
from prophrl_core.stamps import seconds_of

DEPTH_PREFIX_BYTES = 12  # of image_transport's compressedDepth
# What rosbags raises on damaged and foreign files, found by trying: not all of it is its own.
BAG_ERRORS = (
    AnyReaderError, ReaderError, SerdeError, TypesysError, zstd.ZstdError, struct.error, yaml.YAMLError, OSError,
    ValueError, LookupError, TypeError, AssertionError, EOFError, MemoryError, OverflowError, RecursionError,
)  # fmt: skip
IMAGE_LIMIT = 256 << 20  # bytes of one picture, unpacked


@dataclasses.dataclass(frozen=True)
class Episode:
    """One recorded trial."""

    folder: Path
    meta: EpisodeMeta

    @functools.cached_property
    def topics(self) -> dict[str, int]:
        """Messages by topic."""
        with self._reading() as reader:
            return {connection.topic: connection.msgcount for connection in reader.connections}

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras with recorded pictures."""
        return sorted({name.split("/")[2] for name, n in self.topics.items() if n and "/color/image_raw" in name})

    def messages(self, topic: str) -> Iterator[tuple[float, object]]:
        """(t, decoded message) in the order received; UserError when the episode has no such topic."""
        name = self._full_name(topic)
        with self._reading() as reader:
            chosen = [connection for connection in reader.connections if connection.topic == name]
            for connection, received_ns, raw in reader.messages(chosen):
                message = _decode(reader, connection, raw)
                yield self._time(message, received_ns), message

    def frames(self, camera: str) -> Iterator[tuple[float, np.ndarray]]:
        """(t, (H, W, 3) uint8 RGB) of one camera."""
        for t, message in self._images(f"/camera/{camera}/color/image_raw", "/compressed"):
            if hasattr(message, "encoding"):
                yield t, message.data.reshape(message.height, message.width, 3)
                continue
            bgr = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
            if bgr is None:
                what = f"a {message.format!r} picture at t={t:.3f}"
                raise UserError(f"{self.folder.name}: expected {what}, got damaged bytes")
            yield t, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def depth_frames(self, camera: str) -> Iterator[tuple[float, np.ndarray]]:
        """(t, (H, W) uint16 mm aligned to colour, 0 unknown) of one camera."""
        topic = f"/camera/{camera}/aligned_depth_to_color/image_raw"
        for t, message in self._images(topic, "/compressedDepth", "/zstd"):
            if hasattr(message, "encoding"):
                depth = message.data.view(np.uint16).reshape(message.height, message.width)
            elif message.format == "zstd":
                depth = _unpack_zstd(message.data.tobytes())
            else:
                depth = cv2.imdecode(message.data[DEPTH_PREFIX_BYTES:], cv2.IMREAD_UNCHANGED)
            if depth is None:
                raise UserError(f"{self.folder.name}: expected a depth picture at t={t:.3f}, got damaged bytes")
            yield t, depth

    def series(self, topic: str) -> dict[str, np.ndarray]:
        """Arrays by field path ("tcp.position.x", "joints"), one row per message, and "t" (s).

        Fields whose length changes from message to message, and text, become object arrays.
        """
        return self.several_series([topic])[topic]

    def several_series(self, topics: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
        """``series`` of several topics, by the names given, in one pass over the bag."""
        given = {self._full_name(topic): topic for topic in topics}
        times: dict[str, list[float]] = {topic: [] for topic in topics}
        columns: dict[str, dict[str, list]] = {topic: {} for topic in topics}
        with self._reading() as reader:
            chosen = [connection for connection in reader.connections if connection.topic in given]
            for connection, received_ns, raw in reader.messages(chosen):
                topic, message = given[connection.topic], _decode(reader, connection, raw)
                times[topic].append(self._time(message, received_ns))
                for path, value in _fields(message):
                    columns[topic].setdefault(path, []).append(value)
        return {
            topic: {"t": np.array(times[topic])} | {path: _column(values) for path, values in columns[topic].items()}
            for topic in topics
        }

    def stamps(self, topics: Sequence[str]) -> dict[str, np.ndarray]:
        """Times (N,) of the messages of several topics, by the names given, in one pass over the bag."""
        given = {self._full_name(topic): topic for topic in topics}
        times: dict[str, list[float]] = {topic: [] for topic in topics}
        with self._reading() as reader:
            chosen = [connection for connection in reader.connections if connection.topic in given]
            for connection, received_ns, raw in reader.messages(chosen) if chosen else ():
                times[given[connection.topic]].append(self._time(_decode(reader, connection, raw), received_ns))
        return {topic: np.array(values) for topic, values in times.items()}

    def _images(self, topic: str, *packed_suffixes: str) -> Iterator[tuple[float, object]]:
        stored = [topic + suffix for suffix in packed_suffixes if topic + suffix in self.topics]
        return self.messages(stored[0] if stored else topic)

    def _full_name(self, topic: str) -> str:
        name = topic if topic.startswith("/") else f"/{topic}"
        if name not in self.topics:
            known = ", ".join(sorted(self.topics))
            raise UserError(f"{self.folder.name}: expected topic {name}, found: {known}")
        return name

    @contextlib.contextmanager
    def _reading(self) -> Iterator[AnyReader]:
        """The open bag; UserError for whatever a damaged or foreign one makes of itself."""
        try:
            with AnyReader([self.folder]) as reader:
                yield reader
        except BAG_ERRORS as error:
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"{self.folder}: expected a whole bag, got: {what}; try: prophrl data repair {self.folder}"
            ) from None

    @staticmethod
    def _time(message, received_ns: int) -> float:
        header = getattr(message, "header", None)
        if header is None or (header.stamp.sec == 0 and header.stamp.nanosec == 0):
            return received_ns * 1e-9
        return seconds_of(header.stamp)


def read_episode(folder: str | Path) -> Episode:
    """A complete episode; UserError when the folder is not one or its bag cannot be read."""
    folder = Path(folder)
    episode = Episode(folder, read_meta(folder))
    episode.topics  # noqa: B018 - fails on a bag that cannot be opened
    return episode


def _decode(reader: AnyReader, connection: Connection, raw: bytes):
    """Decode one message. Fast DDS may leave a few bytes of slack behind the last field; they are ignored."""
    definition = reader.typestore.get_msgdef(connection.msgtype)
    little_endian = bool(raw[1])
    decode = definition.deserialize_cdr_le if little_endian else definition.deserialize_cdr_be
    return decode(raw[4:], 0, definition.cls, reader.typestore)[0]


def _unpack_zstd(data: bytes) -> np.ndarray | None:
    """(H, W) uint16 of image_transport's zstd form; None when it is not a whole picture."""
    try:
        height, width, _, step, length = struct.unpack_from("<IIBII", data)
        size, at = step * height, struct.calcsize("<IIBII") + length
        if data[at - length : at] != b"16UC1" or step != 2 * width or size > IMAGE_LIMIT:
            return None
        pixels = zstd.ZstdDecompressor().decompress(data[at:], size + 1)
        return np.frombuffer(pixels, np.uint16).reshape(height, width)
    except (struct.error, zstd.ZstdError, ValueError, EOFError):
        return None


def _fields(message, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of every leaf of a decoded message; constants and nested sequences of messages are left out."""
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if field.name.isupper() or field.name == "__msgtype__":
            continue
        if {"sec", "nanosec"} <= set(getattr(value, "__dict__", ())):
            yield prefix + field.name, seconds_of(value)
        elif dataclasses.is_dataclass(value):
            yield from _fields(value, f"{prefix}{field.name}.")
        elif not (isinstance(value, list) and value and dataclasses.is_dataclass(value[0])):
            yield prefix + field.name, value


def _column(values: list) -> np.ndarray:
    """Values of one field over all messages: stacked when they are numbers of one shape."""
    shapes = {np.shape(value) for value in values}
    if len(shapes) == 1 and all(isinstance(v, (int, float, bool, np.ndarray)) for v in values):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
