"""The Foxglove layout shows topics and fields that the graph has; the DDS profile carries camera frames."""

import json
import sys
from functools import reduce

from prophrl_bringup import environment
from prophrl_core.cell import load_cell

CONFIG = environment.share_folder() / "config"


def message_types() -> dict:
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import PoseStamped, WrenchStamped
    from prophrl_interfaces.msg import (
        ArmStatus,
        ArmTarget,
        EnvelopeEvent,
        EpisodeEvent,
        GripperState,
        PolicyStatus,
        ProphetFidelity,
        RecorderStatus,
    )
    from sensor_msgs.msg import CameraInfo, Image

    cameras = [camera.name for camera in load_cell("sim").cameras]
    return {
        "/arm/status": ArmStatus,
        "/arm/target": ArmTarget,
        "/arm/tcp_pose": PoseStamped,
        "/arm/wrench": WrenchStamped,
        "/arm/envelope_event": EnvelopeEvent,
        "/gripper/state": GripperState,
        "/episode/event": EpisodeEvent,
        "/policy/status": PolicyStatus,
        "/prophet/fidelity": ProphetFidelity,
        "/prophet/preview": Image,
        "/recorder/status": RecorderStatus,
        "/diagnostics": DiagnosticArray,
        **{f"/camera/{name}/color/image_raw": Image for name in cameras},
        **{f"/camera/{name}/color/camera_info": CameraInfo for name in cameras},
    }


def paths(panel: dict) -> list[str]:
    found = [entry["value"] for entry in panel.get("paths", [])]
    found += [panel[key] for key in ("topicPath", "topicToRender") if key in panel]
    return found + list(panel.get("imageMode", {}).values())


def test_every_path_of_the_layout_is_a_field_of_the_graph():
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    types = message_types()
    shown = [path for panel in layout["configById"].values() for path in paths(panel)]
    assert len(shown) > 20
    for path in shown:
        topic, *fields = path.split(".")
        assert topic in types, path
        reduce(getattr, fields, types[topic]())


def test_the_layout_places_every_panel_once():
    layout = json.loads((CONFIG / "foxglove.json").read_text())

    def leaves(node):
        return [node] if isinstance(node, str) else [leaf for side in ("first", "second") for leaf in leaves(node[side])]

    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])


def test_full_size_frames_cross_the_shared_memory_transport(ros_domain, process):
    """Two best-effort streams of 640x480 rgb8 at 30 Hz between two processes, as the cameras send them.

    The default transport loses about half; a few may be lost here when a busy machine starves the receiver.
    """
    frames = 150
    sender = process([sys.executable, "-c", SENDER, str(frames)], name="sender")
    receiver = process([sys.executable, "-c", RECEIVER, str(frames)], name="receiver")
    counts = receiver.wait_for(r"received (\d+) (\d+) of (\d+)", timeout=60)
    assert sender.wait(30) == 0
    assert min(int(counts[1]), int(counts[2])) >= 0.9 * frames, counts[0]


SENDER = """
import sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init(); node = rclpy.create_node("sender")
out = [node.create_publisher(Image, f"/camera_{i}", qos_profile_sensor_data) for i in range(2)]
while min(p.get_subscription_count() for p in out) < 1: time.sleep(0.05)
time.sleep(0.5)
image = Image(height=480, width=640, encoding="rgb8", step=1920, data=bytes(921600))
due = time.monotonic()
for n in range(int(sys.argv[1])):
    image.header.frame_id = str(n)
    for p in out: p.publish(image)
    due += 1 / 30
    time.sleep(max(0, due - time.monotonic()))
image.header.frame_id = "end"
for _ in range(5):
    for p in out: p.publish(image)
    time.sleep(0.2)
rclpy.shutdown()
"""
RECEIVER = """
import sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init(); node = rclpy.create_node("receiver")
seen, ended = [set(), set()], set()
def take(i, message):
    if message.header.frame_id == "end": ended.add(i)
    else: seen[i].add(message.header.frame_id)
subscriptions = [node.create_subscription(Image, f"/camera_{i}", lambda m, i=i: take(i, m), qos_profile_sensor_data) for i in range(2)]
end = time.monotonic() + 50
while len(ended) < 2 and time.monotonic() < end: rclpy.spin_once(node, timeout_sec=0.2)
print("received", len(seen[0]), len(seen[1]), "of", sys.argv[1], flush=True)
rclpy.shutdown()
"""
