"""What of a numbered load a bag holds, and what it lacks."""

import json
from pathlib import Path

import numpy as np
from prophrl_cell.recorder.topics import STORED_SUFFIXES
from prophrl_cell.recorder.wire_reader import WireReader
from rosbags.highlevel import AnyReader


def sent_times(files: list[Path]) -> dict[str, np.ndarray]:
    """Wall-clock ns at which each message of each topic was sent, by number."""
    times: dict[str, np.ndarray] = {}
    for file in files:
        times |= {topic: np.array(sent, np.int64) for topic, sent in json.loads(file.read_text()).items()}
    return times


def kept_numbers(bag: Path, topics: set[str]) -> dict[str, list[int]]:
    """Numbers in the bag by topic, in file order; packed pictures count for the topic they were packed from."""
    kept: dict[str, list[int]] = {topic: [] for topic in topics}
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            topic = _source_of(connection.topic.strip("/"))
            if topic in kept:
                kept[topic].append(int(WireReader(raw).header()[1]))
    return kept


def _source_of(stored: str) -> str:
    for suffix in filter(None, STORED_SUFFIXES.values()):
        if stored.endswith(suffix):
            return stored.removesuffix(suffix)
    return stored


def missing(
    sent: dict[str, np.ndarray], kept: dict[str, list[int]], since_ns: int, until_ns: int
) -> tuple[int, dict[str, np.ndarray]]:
    """How many messages were sent in a span of time, and the numbers of those that the bag does not hold, by topic."""
    expected, lacking = 0, {}
    for topic, times in sent.items():
        due = np.flatnonzero((times >= since_ns) & (times <= until_ns))
        gone = np.setdiff1d(due, kept.get(topic, []))
        expected += len(due)
        if len(gone):
            lacking[topic] = gone
    return expected, lacking


def newest_kept(sent: dict[str, np.ndarray], kept: dict[str, list[int]]) -> int:
    """When (ns) the youngest message in the bag was sent; 0 when it holds none."""
    return max((int(sent[topic][numbers[-1]]) for topic, numbers in kept.items() if numbers), default=0)
