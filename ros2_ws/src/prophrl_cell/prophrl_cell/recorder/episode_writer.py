"""One episode on disk: ``<root>/<id>.partial/`` while it grows, ``<root>/<id>/`` once it is whole."""

import dataclasses
import os
import pathlib
import shutil

from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, StreamSummary, write_meta
from prophrl_core.errors import UserError

from prophrl_cell.recorder import bag_metadata
from prophrl_cell.recorder.image_packing import pack_image
from prophrl_cell.recorder.mcap_writer import McapWriter
from prophrl_cell.recorder.message_definitions import load_definition
from prophrl_cell.recorder.topics import RecordedTopic

RESERVE_NAME = ".reserve"
RESERVE_BYTES = 256 << 10  # kept aside while recording, so that a bag can be completed on a full disk
FLUSH_PERIOD_NS = 500_000_000  # what a kill can take at most


@dataclasses.dataclass
class _Stream:
    """Counts of one topic; times are receive times, ns."""

    channel_id: int
    recorded: RecordedTopic
    type_hash: str
    qos: str
    unpackable: int = 0
    seen: int = 0
    first_ns: int = 0
    last_ns: int = 0
    max_gap_ns: int = 0

    def saw(self, now_ns: int) -> None:
        if self.seen:
            self.max_gap_ns = max(self.max_gap_ns, now_ns - self.last_ns)
        else:
            self.first_ns = now_ns
        self.last_ns = now_ns
        self.seen += 1


class EpisodeWriter:
    """Writes messages of one episode; owned by one thread. Disk errors surface as OSError from ``write``."""

    def __init__(self, root: pathlib.Path, meta: EpisodeMeta, topics: tuple[RecordedTopic, ...], spec: RecorderSpec):
        self._root = root
        self.meta = meta
        self._quality = spec.jpeg_quality
        self.folder = root / (meta.episode_id + PARTIAL_SUFFIX)
        self.folder.mkdir(parents=True)
        self._file_name = f"{meta.episode_id}.mcap"
        self._streams: dict[str, _Stream] = {}
        self._start_ns, self._end_ns, self._flushed_ns = int(meta.started * 1e9), int(meta.started * 1e9), 0
        self.complaint = ""  # the last message that could not be stored, one line
        self.closed = False  # no more messages
        self.whole = False  # and the bag is complete
        try:
            self._open(topics)
        except (OSError, UserError):
            shutil.rmtree(self.folder)
            raise

    def _open(self, topics: tuple[RecordedTopic, ...]) -> None:
        self._reserve = self.folder / RESERVE_NAME
        with self._reserve.open("wb") as reserve:
            os.posix_fallocate(reserve.fileno(), 0, RESERVE_BYTES)
        write_meta(self.folder, self.meta)
        self._mcap = McapWriter(self.folder / self._file_name)
        for topic in topics:
            definition = load_definition(topic.stored_type)
            qos = bag_metadata.qos_yaml(topic.reliable, topic.transient, topic.depth)
            channel = self._mcap.add_channel(
                topic.stored_topic, topic.stored_type, definition.text,
                {"offered_qos_profiles": qos, "topic_type_hash": definition.type_hash},
            )
            self._streams[topic.topic] = _Stream(channel, topic, definition.type_hash, qos)

    @property
    def bytes_written(self) -> int:
        return self._mcap.bytes_written

    def write(self, topic: str, received_ns: int, message: bytes) -> None:
        """Store one serialized message of a recorded topic."""
        stream = self._streams[topic]
        stream.saw(received_ns)
        if stream.recorded.storage != "raw":
            try:
                message = pack_image(message, stream.recorded.storage, self._quality)
            except ValueError as error:
                stream.unpackable += 1
                self.complaint = f"{stream.unpackable} messages of {topic} are not what they should be: {error}"
                return
        self._start_ns, self._end_ns = min(self._start_ns, received_ns), max(self._end_ns, received_ns)
        self._mcap.write(stream.channel_id, received_ns, message)
        self.flush_if_due(received_ns)

    def flush_if_due(self, now_ns: int) -> None:
        """Put what is pending on disk when the last flush is long enough ago."""
        if now_ns - self._flushed_ns >= FLUSH_PERIOD_NS:
            self._flushed_ns = now_ns
            self._mcap.flush()

    def summaries(self, refused: dict[str, int]) -> tuple[StreamSummary, ...]:
        """Counts per stored topic; ``refused`` are losses by topic that never reached this writer."""
        result = []
        for topic, stream in self._streams.items():
            span_s = (stream.last_ns - stream.first_ns) * 1e-9
            result.append(StreamSummary(
                stream.recorded.stored_topic, stream.recorded.stored_type, self._mcap.counts[stream.channel_id],
                self._mcap.lost[stream.channel_id] + stream.unpackable + refused.get(topic, 0),
                round((stream.seen - 1) / span_s, 3) if span_s > 0 else 0.0, round(stream.max_gap_ns * 1e-9, 6),
            ))
        return tuple(result)

    def close_bag(self) -> None:
        """Complete the MCAP file and its metadata; nothing can be written afterwards."""
        if self.closed:
            return
        self.closed = True
        self._reserve.unlink(missing_ok=True)
        try:
            self._mcap.flush()
        except OSError:
            pass  # counted in McapWriter.lost; the chunks before it are whole
        topics = [
            bag_metadata.BagTopic(
                s.recorded.stored_topic, s.recorded.stored_type, s.type_hash, s.qos, self._mcap.counts[s.channel_id]
            )
            for s in self._streams.values()
        ]
        custom = {"episode_id": self.meta.episode_id, "task": self.meta.task}
        information = bag_metadata.bag_information(self._file_name, topics, self._start_ns, self._end_ns, custom)
        self._mcap.finish(bag_metadata.embedded(information))
        bag_metadata.write_bag_metadata(self.folder, information)
        self.whole = True

    def finish(self, meta: EpisodeMeta) -> pathlib.Path:
        """Write the final ``episode.json`` and give the folder its name; returns it.

        A bag that could not be completed keeps its partial name, for repair.
        """
        write_meta(self.folder, meta)
        if not self.whole:
            return self.folder
        final = self._root / meta.episode_id
        self.folder.rename(final)
        directory = os.open(self._root, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return final

    def abandon(self) -> None:
        """Leave the partial folder as it is, for repair."""
        self.closed = True
        self._mcap.abandon()
