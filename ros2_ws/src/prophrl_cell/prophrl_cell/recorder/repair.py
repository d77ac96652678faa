"""Makes a whole episode of what a killed recorder left: ``<id>.partial/`` becomes ``<id>/``."""

import dataclasses
import pathlib

from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, StreamSummary, read_meta, write_meta
from prophrl_core.errors import UserError

from prophrl_cell.recorder import bag_metadata
from prophrl_cell.recorder.episode_writer import RESERVE_NAME
from prophrl_cell.recorder.mcap_scan import Damage, scan
from prophrl_cell.recorder.mcap_writer import McapWriter


@dataclasses.dataclass
class _Stream:
    channel_id: int
    topic: bag_metadata.BagTopic
    first_ns: int
    last_ns: int
    max_gap_ns: int = 0

    def summary(self, messages: int) -> StreamSummary:
        span_s = (self.last_ns - self.first_ns) * 1e-9
        rate = round((messages - 1) / span_s, 3) if span_s > 0 else 0.0
        return StreamSummary(
            self.topic.name, self.topic.type_name, messages, rate=rate, max_gap=round(self.max_gap_ns * 1e-9, 6)
        )


def repair_episode(partial: pathlib.Path) -> EpisodeMeta:
    """Rewrite the readable part of ``partial`` and give the folder its final name; returns what it now says.

    UserError when there is nothing to repair or nothing readable; the folder is left as it was then.
    """
    if not partial.is_dir() or not partial.name.endswith(PARTIAL_SUFFIX):
        raise UserError(f"repair: expected a folder named <episode>{PARTIAL_SUFFIX}, got {partial}")
    episode_id = partial.name.removesuffix(PARTIAL_SUFFIX)
    final = partial.with_name(episode_id)
    if final.exists():
        raise UserError(f"repair: {final} exists already; move it away first")
    meta = read_meta(partial)
    source, target = partial / f"{episode_id}.mcap", partial / f"{episode_id}.mcap.repaired"
    if not source.is_file():
        raise UserError(f"repair: expected {source.name} in {partial}, found none; nothing was recorded")
    target.unlink(missing_ok=True)
    damage, streams, start_ns, end_ns = Damage(), {}, 2**63, 0
    writer = McapWriter(target)
    for message in scan(source, damage):
        channel = message.channel
        stream = streams.get(channel.topic)
        if stream is None:
            channel_id = writer.add_channel(channel.topic, channel.type_name, channel.definition, channel.metadata)
            qos = channel.metadata.get("offered_qos_profiles", "")
            kind = bag_metadata.BagTopic(
                channel.topic, channel.type_name, channel.metadata.get("topic_type_hash", ""), qos, 0
            )
            stream = streams[channel.topic] = _Stream(channel_id, kind, message.log_time_ns, message.log_time_ns)
        stream.max_gap_ns = max(stream.max_gap_ns, message.log_time_ns - stream.last_ns)
        stream.last_ns = message.log_time_ns
        start_ns, end_ns = min(start_ns, message.log_time_ns), max(end_ns, message.log_time_ns)
        writer.write(stream.channel_id, message.log_time_ns, message.data)
    if not streams:
        writer.abandon()
        target.unlink()
        raise UserError(f"repair: no whole chunk in {source} ({damage.tail_bytes} bytes of one that was cut short)")
    counts = [writer.counts[stream.channel_id] for stream in streams.values()]
    topics = [dataclasses.replace(s.topic, messages=n) for s, n in zip(streams.values(), counts, strict=True)]
    custom = {"episode_id": episode_id, "task": meta.task}
    information = bag_metadata.bag_information(source.name, topics, start_ns, end_ns, custom)
    writer.finish(bag_metadata.embedded(information))
    target.replace(source)
    (partial / RESERVE_NAME).unlink(missing_ok=True)
    bag_metadata.write_bag_metadata(partial, information)
    summaries = tuple(s.summary(n) for s, n in zip(streams.values(), counts, strict=True))
    repaired = _repaired_meta(meta, damage, end_ns, summaries)
    write_meta(partial, repaired)
    partial.rename(final)
    return repaired


def _repaired_meta(meta: EpisodeMeta, damage: Damage, end_ns: int, streams: tuple[StreamSummary, ...]) -> EpisodeMeta:
    if meta.outcome:
        return dataclasses.replace(meta, streams=streams)
    found = f"{damage.chunks_read} chunks kept, {damage.chunks_bad} damaged, {damage.tail_bytes} bytes cut short"
    return dataclasses.replace(
        meta, ended=end_ns * 1e-9, outcome="aborted", streams=streams,
        reason=f"the recorder ended before the trial did; repaired: {found}",
    )
