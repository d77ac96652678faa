"""Makes a whole episode of what a killed recorder left: ``<id>.partial/`` becomes ``<id>/``."""

import contextlib
import dataclasses
import errno
import pathlib
from collections.abc import Iterator

from prophrl_core.durability import sync
from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, StreamSummary, read_meta, write_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError

from prophrl_cell.image_cdr import header_stamp_ns
from prophrl_cell.recorder import bag_metadata
from prophrl_cell.recorder.calibration import camera_of, with_intrinsics
from prophrl_cell.recorder.control_counter import ControlCounter
from prophrl_cell.recorder.episode_writer import HEADER_BYTES, RESERVE_NAME
from prophrl_cell.recorder.folder_lock import FolderLock
from prophrl_cell.recorder.mcap_scan import Channel, Damage, Message, scan
from prophrl_cell.recorder.mcap_writer import McapWriter
from prophrl_cell.recorder.message_definitions import starts_with_header
from prophrl_cell.recorder.stream_statistics import StreamStatistics
from prophrl_cell.recorder.topics import EXECUTED_ACTION


class _Rewritten:
    """One stream on its way into the repaired bag."""

    def __init__(self, channel: Channel, writer: McapWriter):
        self._writer = writer
        self.channel_id = writer.add_channel(channel.topic, channel.type_name, channel.definition, channel.metadata)
        self._channel = channel
        self._stamped = starts_with_header(channel.definition)
        self._statistics = StreamStatistics()

    def take(self, message: Message, started_ns: int) -> None:
        stamped = self._stamped and message.log_time_ns > started_ns and len(message.data) >= HEADER_BYTES
        self._statistics.saw(message.log_time_ns, header_stamp_ns(message.data) if stamped else 0)
        self._statistics.bytes += len(message.data)
        self._writer.write(self.channel_id, message.log_time_ns, message.data)

    @property
    def bag_topic(self) -> bag_metadata.BagTopic:
        channel, count = self._channel, self._writer.counts[self.channel_id]
        qos, type_hash = (channel.metadata.get(name, "") for name in ("offered_qos_profiles", "topic_type_hash"))
        return bag_metadata.BagTopic(channel.topic, channel.type_name, type_hash, qos, count)

    @property
    def summary(self) -> StreamSummary:
        count = self._writer.counts[self.channel_id]
        return self._statistics.summary(self._channel.topic, self._channel.type_name, count)


def is_whole(folder: pathlib.Path) -> bool:
    """Whether an episode's bag can be opened and every chunk of it is as it was written.

    UserError or OSError where that cannot be told: another version's description, a file that cannot be read.
    """
    damage = Damage()
    for _ in scan(folder / f"{read_meta(folder).episode_id}.mcap", damage, use_summary=False):
        pass
    try:
        read_episode(folder)
    except UserError:
        return False
    return damage.complete and not damage.chunks_bad


def repair_damaged(folder: pathlib.Path) -> EpisodeMeta:
    """``repair_episode`` for an episode that has its final name; it keeps it when it cannot be repaired."""
    partial = folder.rename(folder.with_name(folder.name + PARTIAL_SUFFIX))
    try:
        return repair_episode(partial)
    except BaseException:
        partial.rename(folder)
        raise


def repair_episode(partial: pathlib.Path) -> EpisodeMeta:
    """Rewrite the readable part of ``partial`` and give the folder its final name; returns what it now says.

    UserError when there is nothing to repair or nothing readable, or it is still being recorded; the folder is left
    as it was then.
    """
    if not partial.is_dir() or not partial.name.endswith(PARTIAL_SUFFIX):
        raise UserError(f"repair: expected a folder named <episode>{PARTIAL_SUFFIX}, got {partial}")
    try:
        with FolderLock(partial):
            return _repair(partial)
    except BlockingIOError:
        raise UserError(
            f"repair: {partial} is still being recorded (or repaired by another command); wait until that is done"
        ) from None


def _repair(partial: pathlib.Path) -> EpisodeMeta:
    final = partial.with_name(partial.name.removesuffix(PARTIAL_SUFFIX))
    if final.exists():
        raise UserError(f"repair: {final} exists already; move it away first")
    meta = read_meta(partial)
    episode_id = meta.episode_id
    source, target = partial / f"{episode_id}.mcap", partial / f"{episode_id}.mcap.repaired"
    if not source.is_file():
        raise UserError(f"repair: expected {source.name} in {partial}, found none; nothing was recorded")
    target.unlink(missing_ok=True)
    damage, streams, start_ns, end_ns = Damage(), {}, 2**63, 0
    control, infos = ControlCounter(), {}
    writer = McapWriter(target)
    try:
        for message in scan(source, damage):
            topic = message.channel.topic
            if topic not in streams:
                streams[topic] = _Rewritten(message.channel, writer)
            streams[topic].take(message, int(meta.started * 1e9))
            start_ns, end_ns = min(start_ns, message.log_time_ns), max(end_ns, message.log_time_ns)
            if topic.endswith(EXECUTED_ACTION):
                with contextlib.suppress(ValueError):
                    control.add(message.data)
            elif camera := camera_of(topic):
                infos[camera] = message.data
        if not streams:
            raise UserError(f"repair: no whole chunk in {source} ({damage.tail_bytes} bytes of one that was cut short)")
        topics = [stream.bag_topic for stream in streams.values()]
        custom = {"episode_id": episode_id, "task": meta.task}
        information = bag_metadata.bag_information(source.name, topics, start_ns, end_ns, custom)
        writer.finish(bag_metadata.embedded(information))
        repaired = dataclasses.replace(
            _repaired_meta(meta, damage, end_ns), streams=_with_losses(meta, streams),
            control=control.summary(), calibration=meta.calibration and with_intrinsics(meta.calibration, infos),
        )
        with _kept(source, damage):
            target.replace(source)
            (partial / RESERVE_NAME).unlink(missing_ok=True)
            bag_metadata.write_bag_metadata(partial, information)
            write_meta(partial, repaired)
    except (OSError, UserError) as error:
        writer.abandon()
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            advice = "; make room and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise UserError(f"repair: {target} could not be written ({error.strerror}){advice}") from None
        raise
    sync(partial)
    partial.rename(final)
    sync(final.parent)
    return repaired


@contextlib.contextmanager
def _kept(source: pathlib.Path, damage: Damage) -> Iterator[None]:
    """The bag as it was stays beside the new one when chunks of it were damaged, and comes back when this fails."""
    old = source.with_name(f"{source.name}.damaged")
    number = 2
    while old.exists():
        old, number = source.with_name(f"{source.name}.damaged-{number}"), number + 1
    source.rename(old)
    try:
        yield
    except OSError:
        old.replace(source)
        raise
    if not damage.chunks_bad:
        old.unlink()


def _with_losses(meta: EpisodeMeta, streams: dict[str, _Rewritten]) -> tuple[StreamSummary, ...]:
    """What every stream has now, and what it lost: when it was recorded, and with the bag since."""
    summaries = {name: stream.summary for name, stream in streams.items()}
    for old in meta.streams:
        now = summaries.get(old.topic, StreamSummary(old.topic, old.type, 0))
        summaries[old.topic] = dataclasses.replace(now, lost=old.lost + max(0, old.messages - now.messages))
    return tuple(summaries.values())


def _repaired_meta(meta: EpisodeMeta, damage: Damage, end_ns: int) -> EpisodeMeta:
    found = f"{damage.chunks_read} chunks kept, {damage.chunks_bad} damaged, {damage.tail_bytes} bytes cut short"
    if not meta.outcome:
        reason = f"the recorder ended before the trial did; repaired: {found}"
        return dataclasses.replace(meta, ended=end_ns * 1e-9, outcome="aborted", reason=reason)
    if damage.complete and not damage.chunks_bad:
        return meta
    reasons = filter(None, (meta.reason, f"the bag was damaged; repaired: {found}"))
    return dataclasses.replace(meta, reason="; ".join(reasons))
