"""One episode on disk: ``<root>/<id>.partial/`` while it grows, ``<root>/<id>/`` once it is whole."""

import contextlib
import dataclasses
import os
import pathlib
import shutil

from prophrl_core.cell import RecorderSpec
from prophrl_core.durability import sync
from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, StreamSummary, write_meta
from prophrl_core.errors import UserError

from prophrl_cell.image_cdr import header_stamp_ns
from prophrl_cell.recorder import bag_metadata
from prophrl_cell.recorder.calibration import camera_of, with_intrinsics
from prophrl_cell.recorder.control_counter import ControlCounter
from prophrl_cell.recorder.folder_lock import FolderLock
from prophrl_cell.recorder.image_packing import pack_image
from prophrl_cell.recorder.mcap_writer import McapWriter
from prophrl_cell.recorder.message_definitions import load_definition, starts_with_header
from prophrl_cell.recorder.stream_statistics import StreamStatistics
from prophrl_cell.recorder.topics import EXECUTED_ACTION, IMAGE, RecordedTopic

RESERVE_NAME = ".reserve"
RESERVE_BYTES = 320 << 10  # kept aside while recording, so that a bag can be completed on a full disk
LABEL_RESERVE_BYTES = 64 << 10  # and of that until the end, for the label
FLUSH_PERIOD_NS = 250_000_000  # what a kill can take at most
HEADER_BYTES = 12  # of a message that begins with a stamp
EARLY_NS = (1_000_000, 1_000_000_000)  # a picture so much older than its episode shows the scene before it


@dataclasses.dataclass
class _Stream:
    """One topic on its way into the bag."""

    channel_id: int
    recorded: RecordedTopic
    type_hash: str
    qos: str
    stamped: bool
    unpackable: int = 0
    statistics: StreamStatistics = dataclasses.field(default_factory=StreamStatistics)


class EpisodeWriter:
    """Writes messages of one episode; owned by one thread. Disk errors surface as OSError from ``write``.

    From here to ``finish`` the folder is locked, so that no repair takes an episode that is still being recorded.
    """

    def __init__(self, root: pathlib.Path, meta: EpisodeMeta, topics: tuple[RecordedTopic, ...], spec: RecorderSpec):
        self._root = root
        self._meta = meta
        self._quality = spec.jpeg_quality
        self._sync_seconds = spec.sync_seconds
        self.folder = root / (meta.episode_id + PARTIAL_SUFFIX)
        self.folder.mkdir(parents=True)
        self._lock = FolderLock(self.folder)
        self._file_name = f"{meta.episode_id}.mcap"
        self._streams: dict[str, _Stream] = {}
        self._start_ns = self._end_ns = int(meta.started * 1e9)
        self._flushed_ns = 0
        self._control = ControlCounter()
        self._infos: dict[str, bytes] = {}  # last camera_info by camera
        self.complaint = ""  # the last message that could not be stored, one line
        self.closed = False  # no more messages
        self.whole = False  # and the bag is complete
        try:
            self._open(topics)
        except (OSError, UserError):
            shutil.rmtree(self.folder)
            self._lock.release()
            raise

    def _open(self, topics: tuple[RecordedTopic, ...]) -> None:
        self._reserve = self.folder / RESERVE_NAME
        with self._reserve.open("wb") as reserve:
            os.posix_fallocate(reserve.fileno(), 0, RESERVE_BYTES)
        write_meta(self.folder, self._meta)
        self._mcap = McapWriter(self.folder / self._file_name, sync_seconds=self._sync_seconds)
        for topic in topics:
            definition = load_definition(topic.stored_type)
            qos = bag_metadata.qos_yaml(topic.reliable, topic.transient, topic.depth)
            channel = self._mcap.add_channel(
                topic.stored_topic, topic.stored_type, definition.text,
                {"offered_qos_profiles": qos, "topic_type_hash": definition.type_hash},
            )
            stamped = starts_with_header(definition.text)
            self._streams[topic.topic] = _Stream(channel, topic, definition.type_hash, qos, stamped)
        sync(self.folder)
        sync(self._root)

    @property
    def bytes_written(self) -> int:
        return self._mcap.bytes_written

    @property
    def episode_id(self) -> str:
        return self._meta.episode_id

    @property
    def meta(self) -> EpisodeMeta:
        """What is known of the episode so far: calibration and control as they came with the messages."""
        calibration = self._meta.calibration and with_intrinsics(self._meta.calibration, self._infos)
        return dataclasses.replace(
            self._meta, calibration=calibration, control=self._control.summary(), disk=self._mcap.disk_summary()
        )

    def write(self, topic: str, received_ns: int, message: bytes) -> None:
        """Store one serialized message of a recorded topic; not a picture that was on its way when the episode began."""
        stream = self._streams[topic]
        stamp_ns = header_stamp_ns(message) if stream.stamped and len(message) >= HEADER_BYTES else 0
        if self._is_early(stream, received_ns, stamp_ns):
            return
        # What was latched before the start comes with the start's time: its age is no clock skew.
        stream.statistics.saw(received_ns, stamp_ns if received_ns > self._start_ns else 0)
        try:
            if stream.recorded.storage != "raw":
                message = pack_image(message, stream.recorded.storage, self._quality)
        except ValueError as error:
            stream.unpackable += 1
            self.complaint = f"{stream.unpackable} messages of {topic} are not what they should be: {error}"
            return
        self._look_at(topic, message)
        stream.statistics.bytes += len(message)
        self._end_ns = max(self._end_ns, received_ns)
        self._mcap.write(stream.channel_id, received_ns, message)
        self.flush_if_due(received_ns)

    def _is_early(self, stream: _Stream, received_ns: int, stamp_ns: int) -> bool:
        """Whether a picture was on its way when the episode began.

        Only before the stream's first one, and only in the first second: a clock that is set back later, or a camera
        whose stamps lag, must cost no more than that.
        """
        first = stream.recorded.type_name == IMAGE and not stream.statistics.seen
        late = abs(received_ns - self._start_ns) > EARLY_NS[1]
        return first and not late and EARLY_NS[0] < self._start_ns - stamp_ns < EARLY_NS[1]

    def _look_at(self, topic: str, message: bytes) -> None:
        """The few messages whose content the episode's description repeats."""
        if topic.endswith(EXECUTED_ACTION):
            try:
                self._control.add(message)
            except ValueError as error:
                self.complaint = f"{topic}: {error}"
        elif camera := camera_of(topic):
            self._infos[camera] = message

    def flush_if_due(self, now_ns: int) -> None:
        """Hand what is pending to the kernel when the last time is long enough ago."""
        if abs(now_ns - self._flushed_ns) >= FLUSH_PERIOD_NS:  # the clock may have been set back
            self._flushed_ns = now_ns
            self._mcap.flush()

    def summaries(self, refused: dict[str, int]) -> tuple[StreamSummary, ...]:
        """Counts per stored topic; ``refused`` are losses by topic that never reached this writer."""
        return tuple(
            stream.statistics.summary(
                stream.recorded.stored_topic, stream.recorded.stored_type, self._mcap.counts[stream.channel_id],
                self._mcap.lost[stream.channel_id] + stream.unpackable + refused.get(topic, 0),
            )
            for topic, stream in self._streams.items()
        )

    def close_bag(self) -> None:
        """Complete the MCAP file and its metadata; nothing can be written afterwards."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(OSError):
            os.truncate(self._reserve, LABEL_RESERVE_BYTES)
        with contextlib.suppress(OSError):  # counted in McapWriter.lost; the chunks before it are whole
            self._mcap.flush()
        topics = [
            bag_metadata.BagTopic(
                s.recorded.stored_topic, s.recorded.stored_type, s.type_hash, s.qos, self._mcap.counts[s.channel_id]
            )
            for s in self._streams.values()
        ]
        custom = {"episode_id": self._meta.episode_id, "task": self._meta.task}
        information = bag_metadata.bag_information(self._file_name, topics, self._start_ns, self._end_ns, custom)
        self._mcap.finish(bag_metadata.embedded(information))
        bag_metadata.write_bag_metadata(self.folder, information)
        self.whole = True

    def note(self, meta: EpisodeMeta) -> None:
        """Write ``episode.json`` so far: what it says of the outcome outlives a kill from here on."""
        write_meta(self.folder, meta)

    def finish(self, meta: EpisodeMeta) -> pathlib.Path:
        """Write the final ``episode.json`` and give the folder its name; returns it.

        A bag that could not be completed keeps its partial name, for repair. After an OSError it may be called again.
        """
        try:
            write_meta(self.folder, meta)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            write_meta(self.folder, meta)
        self._reserve.unlink(missing_ok=True)
        final = self._root / meta.episode_id
        if self.whole and self.folder != final:
            sync(self.folder)
            self.folder = self.folder.rename(final)
        sync(self._root)
        self._lock.release()
        return self.folder

    def abandon(self) -> None:
        """Leave the bag as it is, for repair."""
        self.closed = True
        self._mcap.abandon()

    def leave(self) -> None:
        """Leave the partial folder, too: from here on a repair may take it."""
        self.abandon()
        self._lock.release()
