"""What an episode holds: every topic of the graph, its type, its QoS and how it is stored."""

import dataclasses

from prophrl_core.cell import CellSpec

EXECUTED_ACTION = "arm/executed_action"
INTERFACES = "prophrl_interfaces/msg"
STORED_SUFFIXES = {
    "raw": "", "jpeg": "/compressed", "png": "/compressed", "depth_png": "/compressedDepth", "depth_zstd": "/zstd",
}
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@dataclasses.dataclass(frozen=True)
class RecordedTopic:
    """One topic. ``latched`` topics open every bag with their last message.

    ``storage`` is raw, or how images are packed: jpeg, png (8-bit colour), depth_png, depth_zstd (16-bit).
    """

    topic: str
    type_name: str
    reliable: bool = False
    transient: bool = False
    depth: int = 10
    latched: bool = False
    storage: str = "raw"

    @property
    def stored_topic(self) -> str:
        """Name in the bag; packed images follow image_transport's naming."""
        return self.topic + STORED_SUFFIXES[self.storage]

    @property
    def stored_type(self) -> str:
        """Type in the bag."""
        return self.type_name if self.storage == "raw" else COMPRESSED


def topics_for(cell: CellSpec) -> tuple[RecordedTopic, ...]:
    """Topics of one cell, relative names."""
    stream = {"depth": 200}
    reliable = {"reliable": True, "depth": 200}
    state = {"reliable": True, "transient": True, "latched": True}
    topics = [
        RecordedTopic("joint_states", "sensor_msgs/msg/JointState", **stream),
        RecordedTopic("arm/tcp_pose", "geometry_msgs/msg/PoseStamped", **stream),
        RecordedTopic("arm/wrench", "geometry_msgs/msg/WrenchStamped", **stream),
        RecordedTopic("arm/target", f"{INTERFACES}/ArmTarget", **stream),
        RecordedTopic("arm/status", f"{INTERFACES}/ArmStatus", **state),
        RecordedTopic(EXECUTED_ACTION, f"{INTERFACES}/ExecutedAction", **reliable),
        RecordedTopic("arm/envelope_event", f"{INTERFACES}/EnvelopeEvent", **reliable),
        RecordedTopic("arm/chunk", f"{INTERFACES}/ActionChunk", **reliable),
        RecordedTopic("gripper/command", f"{INTERFACES}/GripperCommand", **reliable),
        RecordedTopic("gripper/state", f"{INTERFACES}/GripperState", latched=True, **stream),
        RecordedTopic("episode/event", f"{INTERFACES}/EpisodeEvent", reliable=True, transient=True, depth=20),
        RecordedTopic("episode/command", f"{INTERFACES}/EpisodeCommand", reliable=True, depth=20),
        RecordedTopic("policy/status", f"{INTERFACES}/PolicyStatus", **state),
        RecordedTopic("teleop/command", f"{INTERFACES}/TeleopCommand", **stream),
        RecordedTopic("teleop/status", f"{INTERFACES}/TeleopStatus", **state),
        RecordedTopic("prophet/fidelity", f"{INTERFACES}/ProphetFidelity", **state),
    ]
    for camera in cell.cameras:
        base = f"camera/{camera.name}"
        topics += [
            RecordedTopic(f"{base}/color/image_raw", IMAGE, depth=30, storage=cell.recorder.colour),
            RecordedTopic(f"{base}/color/camera_info", "sensor_msgs/msg/CameraInfo", latched=True, depth=30),
            RecordedTopic(f"{base}/status", f"{INTERFACES}/CameraStatus", **state),
        ]
        if camera.depth and cell.recorder.depth != "off":
            storage = {"png": "depth_png", "zstd": "depth_zstd", "raw": "raw"}[cell.recorder.depth]
            topics.append(RecordedTopic(f"{base}/aligned_depth_to_color/image_raw", IMAGE, depth=30, storage=storage))
    return tuple(topics)
