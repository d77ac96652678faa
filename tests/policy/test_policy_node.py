"""The policy node as a process: chunks over DDS, swaps between episodes, refusals in one line with exit 2."""

import dataclasses
import sys
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("prophrl_interfaces.msg")

from prophrl_core.action import ActionSpec  # noqa: E402
from prophrl_core.bundle import write_bundle  # noqa: E402
from prophrl_core.stamps import seconds_of  # noqa: E402
from prophrl_interfaces.msg import ActionChunk, ArmTarget, EpisodeEvent, PolicyStatus  # noqa: E402
from prophrl_interfaces.srv import LoadPolicy  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

LATCHED = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def command(bundle, task="grasp_bottle"):
    words = [sys.executable, "-m", "prophrl_policy.nodes.policy_node", "--ros-args"]
    for name, value in {"task_file": task, "cell_file": "sim", "bundle": bundle}.items():
        words += ["-p", f"{name}:={value}"]
    return words


class Cell:
    """The topics around the policy: a camera, an arm that commands a slow straight line, a session."""

    def __init__(self):
        rclpy.init()
        self.node = rclpy.create_node("cell_of_the_test")
        self.chunks, self.statuses = [], []
        self.image = self.node.create_publisher(Image, "camera/front/color/image_raw", qos_profile_sensor_data)
        self.target = self.node.create_publisher(ArmTarget, "arm/target", qos_profile_sensor_data)
        self.event = self.node.create_publisher(EpisodeEvent, "episode/event", LATCHED)
        self.load = self.node.create_client(LoadPolicy, "policy/load")
        self.node.create_subscription(ActionChunk, "arm/chunk", self.chunks.append, 10)
        self.node.create_subscription(PolicyStatus, "policy/status", self.statuses.append, LATCHED)
        self.node.create_timer(0.02, self.send_target)
        self.node.create_timer(1 / 15, self.send_image)

    def stamp(self):
        return self.node.get_clock().now().to_msg()

    def send_target(self):
        message = ArmTarget(openness=1.0)
        message.header.stamp = self.stamp()
        message.tcp.position.x, message.tcp.position.z = 0.5, 0.3
        message.tcp.orientation.x, message.tcp.orientation.w = 1.0, 0.0
        self.target.publish(message)

    def send_image(self):
        message = Image(height=480, width=640, step=1920, encoding="rgb8")
        message.header.stamp = self.stamp()
        message.data = np.zeros((480, 640, 3), np.uint8).tobytes()
        self.image.publish(message)

    def announce(self, event, episode_id="e1"):
        message = EpisodeEvent(event=event, episode_id=episode_id, task="grasp_bottle", seed=5)
        message.instruction = "grasp the bottle and lift it up"
        message.header.stamp = self.stamp()
        self.event.publish(message)

    def spin_until(self, condition, limit=30.0):
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; last status {self.statuses[-1:]}"
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def spin_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def ask_to_load(self, path):
        future = self.load.call_async(LoadPolicy.Request(bundle=str(path)))
        self.spin_until(future.done)
        return future.result()

    def close(self):
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def cell(ros_domain):
    one = Cell()
    yield one
    one.close()


def test_a_node_that_comes_back_in_a_trial_leaves_that_trial_alone(cell, bundle, process):
    cell.announce(EpisodeEvent.STARTED)
    cell.spin_for(1.5)  # a node takes longer to be started again
    node = process(command(bundle.path))
    node.wait_for("e1 began before this node did")
    cell.spin_for(1.0)
    assert not cell.chunks and cell.statuses[-1].state == PolicyStatus.STATE_IDLE
    cell.announce(EpisodeEvent.STOPPED)
    cell.announce(EpisodeEvent.STARTED, "e2")
    cell.spin_until(lambda: cell.chunks)
    assert cell.chunks[0].episode_id == "e2"


def test_an_episode_from_start_to_stop(cell, bundle, process, tmp_path):
    node = process(command(bundle.path))
    cell.spin_until(lambda: cell.statuses and cell.statuses[-1].state == PolicyStatus.STATE_IDLE)
    assert cell.statuses[-1].version == bundle.version and cell.statuses[-1].backend == "onnxruntime-cpu"
    cell.spin_for(0.5)
    assert not cell.chunks, "no chunk before an episode"

    cell.announce(EpisodeEvent.STARTED)
    cell.spin_until(lambda: len(cell.chunks) >= 3)
    first, second, third = cell.chunks[:3]
    assert [c.sequence for c in (first, second, third)] == [0, 1, 2]
    assert {c.episode_id for c in cell.chunks} == {"e1"} and first.policy_version == bundle.version
    assert first.spec_id == ActionSpec().id and (first.steps, first.dims, len(first.actions)) == (20, 7, 140)
    gap = seconds_of(second.observation_stamp) - seconds_of(first.observation_stamp)
    assert gap >= 0.8 - 0.03, "re-planned every 8 steps of 0.1 s"
    assert seconds_of(first.header.stamp) >= seconds_of(first.observation_stamp)

    refused = cell.ask_to_load(bundle.path)
    assert not refused.success and "between episodes" in refused.message
    cell.announce(EpisodeEvent.STOPPED)
    cell.spin_until(lambda: cell.statuses[-1].state == PolicyStatus.STATE_IDLE)
    sent = len(cell.chunks)
    cell.spin_for(1.0)
    assert len(cell.chunks) == sent, "no chunk after the episode"
    assert cell.statuses[-1].latency_p50 > 0

    missing = cell.ask_to_load(tmp_path / "nowhere")
    assert not missing.success and missing.version == bundle.version and "\n" not in missing.message
    other = rewritten(bundle, tmp_path / "other", name="other")
    loaded = cell.ask_to_load(other.path)
    assert loaded.success and loaded.version == other.version
    cell.spin_until(lambda: cell.statuses[-1].version == other.version)
    assert node.interrupt(timeout=5.0) == 0, node.output()


@pytest.mark.parametrize("fault", ["spec", "statistics", "missing", "image", "no bundle"])
def test_a_bundle_that_does_not_fit_is_one_line_and_exit_2(fault, bundle, process, tmp_path, ros_domain):
    path = tmp_path / "bad"
    if fault == "spec":
        rewritten(bundle, path, action=ActionSpec(rate_hz=20.0))
    elif fault == "image":
        rewritten(bundle, path, image=dataclasses.replace(bundle.manifest.image, size=64))
    elif fault == "statistics":
        statistics = {name: [1.1 * v for v in values] for name, values in bundle.statistics.items()}
        rewritten(dataclasses.replace(bundle, statistics=statistics), path)
    elif fault == "missing":
        rewritten(bundle, path)
        (path / "policy.onnx").unlink()
    node = process(command(path))
    assert node.wait(60) == 2, node.output()
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: "), node.output()
    words = {"spec": "action spec", "statistics": "trained with", "missing": "policy.onnx"}
    words["image"] = "expected the image"
    assert words.get(fault, "manifest.json") in lines[0]


def rewritten(bundle, path, **changes):
    """A well-formed copy of the bundle, its manifest changed."""
    manifest = dataclasses.replace(bundle.manifest, **changes)
    return write_bundle(path, manifest, bundle.statistics, bundle.smoke(), {"policy.onnx": bundle.file("policy.onnx")})
