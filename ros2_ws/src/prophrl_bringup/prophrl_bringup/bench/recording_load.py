"""What a cell with two cameras says, with a number in every message: the load that recorders are measured with.

``python -m prophrl_bringup.bench.recording_load --cell F --part arm|NAME --sent F [--width W --height H]``

One process plays one camera (colour and camera_info at 30 Hz) or everything else (``arm``). A message's number stands
in its header's frame_id. On SIGINT the process writes when it sent each message to ``--sent``: {topic: [ns, ...]}.
"""

import argparse
import importlib
import json
import time
from pathlib import Path

import numpy as np
import rclpy
from prophrl_cell.image_cdr import image_message
from prophrl_cell.recorder.topics import IMAGE, RecordedTopic, topics_for
from prophrl_core.cell import load_cell
from prophrl_core.stop_signal import StopSignal
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions

CAMERA_HZ = 30.0
# Messages a second of the topics beside the cameras', as the nodes of a cell at work publish them.
RATES = {
    "joint_states": 125.0, "arm/tcp_pose": 62.5, "arm/wrench": 62.5, "arm/target": 62.5, "arm/status": 10.0,
    "arm/executed_action": 10.0, "arm/chunk": 1.25, "gripper/state": 20.0, "gripper/command": 2.0, "policy/status": 2.0,
    "teleop/command": 30.0, "teleop/status": 2.0,
}  # fmt: skip
NUMBER = "{:08d}"
STAMP_AT, NUMBER_AT = slice(4, 12), slice(16, 24)  # bytes of a serialized message whose frame_id is a number
POOL = 8  # different pictures


def pictures(width: int, height: int, seed: int) -> list[np.ndarray]:
    """(H, W, 3) uint8: a gradient with shapes on it and the noise of a camera (sigma 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = np.stack([x * 200 // width, y * 200 // height, (x + y) * 200 // (width + height)], -1)
    for _ in range(30):
        top, left = rng.integers(0, height - 20), rng.integers(0, width - 20)
        scene[top : top + rng.integers(10, 80), left : left + rng.integers(10, 80)] = rng.integers(0, 255, 3)
    return [np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(POOL)]


def _qos(topic: RecordedTopic) -> QoSProfile:
    return QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.transient else DurabilityPolicy.VOLATILE,
    )


class Stream:
    """One topic: messages of full size, differing in stamp and number."""

    def __init__(self, node: Node, topic: RecordedTopic, rate: float, variants: list[np.ndarray] | None = None):
        package, kind, name = topic.type_name.split("/")
        message_class = getattr(importlib.import_module(f"{package}.{kind}"), name)
        self._publisher = node.create_publisher(message_class, topic.topic, _qos(topic))
        self.period, self.sent = 1.0 / rate, []
        if variants:
            self._forms = [bytearray(image_message(0, NUMBER.format(0), "rgb8", image)) for image in variants]
            return
        message = message_class()
        message.header.frame_id = NUMBER.format(0)
        if topic.topic == "joint_states":
            message.name = [f"joint_{i}" for i in range(6)]
            message.position, message.velocity = [0.1] * 6, [0.2] * 6
        elif topic.topic == "arm/chunk":
            message.steps, message.dims, message.actions = 20, 7, [0.01] * 140
        self._forms = [bytearray(serialize_message(message))]

    def publish(self) -> None:
        """The next message, stamped now."""
        number, now_ns = len(self.sent), time.time_ns()
        form = self._forms[number % len(self._forms)]
        seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
        form[STAMP_AT] = seconds.to_bytes(4, "little") + nanoseconds.to_bytes(4, "little")
        form[NUMBER_AT] = NUMBER.format(number).encode()
        self.sent.append(now_ns)
        self._publisher.publish(bytes(form))


def streams_of(node: Node, part: str, topics: tuple[RecordedTopic, ...], size: tuple[int, int]) -> dict[str, Stream]:
    """By topic: one camera's, or all others that have a rate."""
    if part == "arm":
        return {t.topic: Stream(node, t, RATES[t.topic]) for t in topics if t.topic in RATES}
    own = [t for t in topics if t.topic.startswith(f"camera/{part}/color/")]
    images = pictures(*size, seed=sum(part.encode()))
    return {t.topic: Stream(node, t, CAMERA_HZ, images if t.type_name == IMAGE else None) for t in own}


def play(streams: list[Stream], stop: StopSignal) -> None:
    """Publish each stream at its rate until stopped; a late process catches up."""
    begun = time.monotonic()
    while not stop:
        now = time.monotonic() - begun
        for stream in streams:
            while len(stream.sent) * stream.period <= now:
                stream.publish()
        due = min(len(stream.sent) * stream.period for stream in streams)
        time.sleep(max(0.0, due - (time.monotonic() - begun)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", required=True)
    parser.add_argument("--part", required=True)
    parser.add_argument("--sent", type=Path, required=True)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    arguments = parser.parse_args()
    stop = StopSignal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f"load_{arguments.part}")
    size = (arguments.width, arguments.height)
    streams = streams_of(node, arguments.part, topics_for(load_cell(arguments.cell)), size)
    play(list(streams.values()), stop)
    arguments.sent.write_text(json.dumps({topic: stream.sent for topic, stream in streams.items()}))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
