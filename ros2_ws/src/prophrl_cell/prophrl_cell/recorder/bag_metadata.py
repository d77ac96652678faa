"""``metadata.yaml`` of a rosbag2 bag, version 9 (Jazzy and Kilted)."""

import dataclasses
import pathlib

import yaml
from prophrl_core.episode import write_synced

VERSION = 9
FOREVER = {"sec": 9223372036, "nsec": 854775807}


@dataclasses.dataclass(frozen=True)
class BagTopic:
    """One topic as the bag's metadata lists it."""

    name: str
    type_name: str
    type_hash: str
    qos: str  # YAML, as stored in the channel
    messages: int


def qos_yaml(reliable: bool, transient: bool, depth: int) -> str:
    """Offered QoS of a topic as rosbag2 writes it into a channel."""
    return yaml.safe_dump([{
        "history": "keep_last", "depth": depth,
        "reliability": "reliable" if reliable else "best_effort",
        "durability": "transient_local" if transient else "volatile",
        "deadline": FOREVER, "lifespan": FOREVER,
        "liveliness": "automatic", "liveliness_lease_duration": FOREVER,
        "avoid_ros_namespace_conventions": False,
    }], sort_keys=False)


def bag_information(file_name: str, topics: list[BagTopic], start_ns: int, end_ns: int, custom: dict[str, str]) -> dict:
    """The content of ``rosbag2_bagfile_information``."""
    count = sum(topic.messages for topic in topics)
    start, duration = {"nanoseconds_since_epoch": start_ns}, {"nanoseconds": max(0, end_ns - start_ns)}
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name, "type": topic.type_name, "serialization_format": "cdr",
                    "offered_qos_profiles": yaml.safe_load(topic.qos) or [],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.messages,
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file_name],
        "files": [{"path": file_name, "starting_time": start, "duration": duration, "message_count": count}],
        "custom_data": custom,
        "ros_distro": "jazzy",
    }


def write_bag_metadata(folder: pathlib.Path, information: dict) -> None:
    """Write ``metadata.yaml`` atomically."""
    write_synced(folder / "metadata.yaml", _dump({"rosbag2_bagfile_information": information}))


def embedded(information: dict) -> dict[str, dict[str, str]]:
    """The same information as the metadata record inside the MCAP file."""
    return {"rosbag2": {"serialized_metadata": _dump(information)}}


class _Plain(yaml.SafeDumper):
    """No anchors: rosbag2 reads them, people do not."""

    def ignore_aliases(self, data) -> bool:
        return True


def _dump(data: dict) -> str:
    return yaml.dump(data, Dumper=_Plain, sort_keys=False)
