"""The prophet node as a process: previews and fidelity over DDS, no queue under overload, refusals in one line."""

import dataclasses
import math
import os
import sys
import time

import numpy as np
import pytest
import torch

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("prophrl_interfaces.msg")

from builtin_interfaces.msg import Time  # noqa: E402
from prophrl_core.action import ActionSpec  # noqa: E402
from prophrl_core.cell import load_cell  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.nodes.qos import EVENTS, LATEST  # noqa: E402
from prophrl_core.stamps import nanoseconds_of  # noqa: E402
from prophrl_core.task import load_task  # noqa: E402
from prophrl_interfaces.msg import (  # noqa: E402
    ActionChunk,
    ArmTarget,
    EpisodeEvent,
    ExecutedAction,
    ProphetFidelity,
)
from prophrl_world_model import checkpoints  # noqa: E402
from prophrl_world_model.autoencoder import VideoAutoencoder  # noqa: E402
from prophrl_world_model.config import named  # noqa: E402
from prophrl_world_model.live_imagination import ChunkImagination, check_fits  # noqa: E402
from prophrl_world_model.prophet import Prophet  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

ACTION = ActionSpec()
PERIOD_NS = round(1e9 * ACTION.step_period)
FRAME_NS = PERIOD_NS // 2  # two pictures a step
SIZE = 32


@pytest.fixture
def weights(miniature, tmp_path):
    """Maker of folders with a tiny random Prophet that fits the task, but for what is changed."""

    def make(**changes):
        config = miniature(**{"height": SIZE, "width": SIZE, "chunk_steps": ACTION.chunk_steps} | changes)
        folder = tmp_path / "weights"
        torch.manual_seed(0)
        checkpoints.save(folder, Prophet(config), VideoAutoencoder(config.autoencoder), {"made": "by a test"})
        return folder

    return make


def test_a_chunk_is_imagined_behind_a_real_camera_with_a_real_past(weights):
    task, camera = load_task("grasp_bottle"), load_cell("sim").camera("front")
    imagine = ChunkImagination(weights(), task, camera, 2)
    assert imagine.past_clips == 1 and imagine.image.size == SIZE and imagine.image.crop == task.image.crop
    rng = np.random.default_rng(0)
    K = ACTION.chunk_steps
    picture = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    past = [rng.integers(0, 256, (K + 1, SIZE, SIZE, 3), dtype=np.uint8)]
    arguments = (picture, np.eye(4), 1.0, rng.normal(0, 0.01, (K, 7)))
    frames = imagine(*arguments, past, 3)
    assert frames.shape == (K, SIZE, SIZE, 3) and frames.dtype == np.uint8
    assert np.array_equal(frames, imagine(*arguments, past, 3))
    view = imagine._env.view.camera
    imagine.look_through(dataclasses.replace(camera.model, fx=700.0))
    assert (view.width, view.height) == (SIZE, SIZE) and imagine._env.view.camera.fx > view.fx


def test_weights_of_another_task_or_camera_are_refused(miniature, tmp_path):
    fitting = miniature(height=SIZE, width=SIZE, chunk_steps=ACTION.chunk_steps)
    task, camera = load_task("grasp_bottle"), load_cell("sim").camera("front")
    check_fits(fitting, task, camera, tmp_path)
    check_fits(named("prophet-tiny"), task, camera, tmp_path)
    for words, config, other in (
        ("rate 10 Hz", dataclasses.replace(fitting, rate_hz=5.0), camera),
        ("chunk of 8 steps, .* to 20, .* got 4", dataclasses.replace(fitting, chunk_steps=4), camera),
        ("chunk of 8 steps, .* to 20, .* got 24", dataclasses.replace(fitting, chunk_steps=24), camera),
        ("square frames 32x32", dataclasses.replace(fitting, height=48), camera),
        ("expected 560x480 pixels", fitting, dataclasses.replace(camera, width=320)),
        ("it is on the tool", fitting, dataclasses.replace(camera, T_tool0_camera=(0.0,) * 6)),
    ):
        with pytest.raises(UserError, match=words) as refused:
            check_fits(config, task, other, tmp_path)
        assert "\n" not in str(refused.value)


def command(folder):
    words = [sys.executable, "-m", "prophrl_world_model.nodes.prophet_node", "--ros-args"]
    parameters = {"task_file": "grasp_bottle", "cell_file": "sim", "sampler_steps": 1}
    for name, value in (parameters | ({"weights": folder} if folder else {})).items():
        words += ["-p", f"{name}:={value}"]
    return words


def as_a_viewer():
    """As many previews as come, as a viewer takes them."""
    return QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


class Cell:
    """The topics around the prophet, on a time of the test's own: each tick is half a step."""

    def __init__(self):
        rclpy.init()
        self.node = rclpy.create_node("cell_of_the_test")
        self.now_ns = time.time_ns()
        self.previews, self.fidelity = [], []
        reliable = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        colour = "camera/front/color"
        self.image = self.node.create_publisher(Image, f"{colour}/image_raw", reliable)
        self.info = self.node.create_publisher(CameraInfo, f"{colour}/camera_info", qos_profile_sensor_data)
        self.target = self.node.create_publisher(ArmTarget, "arm/target", qos_profile_sensor_data)
        self.chunk = self.node.create_publisher(ActionChunk, "arm/chunk", reliable)
        self.step = self.node.create_publisher(ExecutedAction, "arm/executed_action", reliable)
        self.event = self.node.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self.node.create_subscription(Image, "prophet/preview", self.previews.append, as_a_viewer())
        self.node.create_subscription(ProphetFidelity, "prophet/fidelity", self.fidelity.append, LATEST)

    def tick(self):
        """Half a step later: a picture of something that moves, the camera's intrinsics, a target."""
        self.now_ns += FRAME_NS
        pixels = np.full((480, 640, 3), 90, np.uint8)
        left = 100 + (self.now_ns // FRAME_NS) % 10 * 24
        pixels[180:300, left : left + 120] = (220, 200, 30)
        image = Image(height=480, width=640, step=1920, encoding="rgb8", data=pixels.tobytes())
        info = CameraInfo(height=480, width=640, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = [610.0, 0.0, 320.0, 0.0, 610.0, 240.0, 0.0, 0.0, 1.0]
        target = ArmTarget(openness=1.0)
        target.tcp.position.x, target.tcp.position.z = 0.5, 0.3
        target.tcp.orientation.x, target.tcp.orientation.w = 1.0, 0.0
        for publisher, message in ((self.info, info), (self.target, target), (self.image, image)):
            message.header.stamp = self.stamp()
            publisher.publish(message)
        self.spin_for(0.01)

    def stamp(self):
        seconds, nanoseconds = divmod(self.now_ns, 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def announce(self, event, episode_id="e1"):
        message = EpisodeEvent(event=event, episode_id=episode_id, task="grasp_bottle")
        message.header.stamp = self.stamp()
        self.event.publish(message)
        self.spin_for(0.2)

    def plan(self, sequence):
        message = ActionChunk(episode_id="e1", spec_id=ACTION.id, sequence=sequence, step_period=ACTION.step_period)
        message.steps, message.dims = ACTION.chunk_steps, ACTION.dims
        message.actions = [0.002] * (message.steps * message.dims)
        message.observation_stamp = message.header.stamp = self.stamp()
        self.chunk.publish(message)

    def run(self, sequence, steps):
        """Carry out the first steps of a chunk that was planned now."""
        for step in range(steps):
            self.tick()
            self.tick()
            message = ExecutedAction(episode_id="e1", sequence=sequence, step=step)
            message.header.stamp = self.stamp()
            self.step.publish(message)
            self.spin_for(0.01)

    def spin_until(self, condition, node, limit=30.0):
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, node.output()
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def spin_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self.node, timeout_sec=0.005)

    def close(self):
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def cell(ros_domain):
    one = Cell()
    yield one
    one.close()


def started(process, folder, cell):
    node = process(command(folder))
    node.wait_for("miniature: 20 frames of 32x32 take", timeout=60)
    topics = (cell.image, cell.chunk, cell.step, cell.event, cell.target)
    cell.spin_until(lambda: all(publisher.get_subscription_count() for publisher in topics), node)
    return node


def test_an_episode_is_previewed_and_compared(cell, weights, process):
    node = started(process, weights(), cell)
    assert os.getpriority(os.PRIO_PROCESS, node.pid) == 19
    cell.now_ns = time.time_ns()
    cell.announce(EpisodeEvent.STARTED)
    cell.tick()
    first = cell.now_ns
    cell.plan(0)
    cell.spin_until(lambda: len(cell.previews) >= ACTION.chunk_steps, node)
    assert [nanoseconds_of(p.header.stamp) for p in cell.previews] == pytest.approx(
        [first + (k + 1) * PERIOD_NS for k in range(ACTION.chunk_steps)], abs=1000
    )
    shown = cell.previews[0]
    assert (shown.height, shown.width, shown.encoding, len(shown.data)) == (SIZE, SIZE, "rgb8", 3 * SIZE**2)
    assert shown.header.frame_id == "camera_front" and not cell.fidelity

    cell.run(0, 8)
    cell.plan(1)
    cell.spin_until(lambda: len(cell.previews) > ACTION.chunk_steps, node)
    cell.run(1, 8)
    cell.spin_until(lambda: cell.fidelity, node)
    one = cell.fidelity[0]
    assert (one.episode_id, one.sequence, one.frames, one.episode_frames, one.skipped) == ("e1", 0, 8, 8, 0)
    assert nanoseconds_of(one.observation_stamp) == first and one.inference_seconds > 0
    assert one.epe > 0 and one.still_epe > 0 and 0 < one.psnr < 60 and -1 <= one.cosine <= 1
    cell.spin_for(0.5)
    cell.announce(EpisodeEvent.STOPPED)
    cell.spin_until(lambda: len(cell.fidelity) == 2, node)
    two = cell.fidelity[1]
    assert (two.sequence, two.frames, two.episode_frames) == (1, 8, 16)
    assert two.episode_epe == pytest.approx((one.epe + two.epe) / 2) and not math.isnan(two.episode_psnr)
    node.wait_for(r"e1: 2 of 2 chunks foretold \(0 skipped, 0 without picture or target\), 16 frames compared: EPE")
    assert node.interrupt(timeout=8.0) == 0, node.output()


def test_twenty_chunks_at_once_are_not_queued(cell, weights, process):
    node = started(process, weights(), cell)
    cell.announce(EpisodeEvent.STARTED)
    cell.tick()
    for sequence in range(20):
        cell.plan(sequence)
    cell.spin_for(3.0)
    cell.announce(EpisodeEvent.STOPPED)
    match = node.wait_for(r"e1: (\d+) of 20 chunks foretold \((\d+) skipped")
    foretold, skipped = (int(number) for number in match.groups())
    assert 1 <= foretold < 15 and foretold + skipped == 20, node.output()
    assert node.interrupt(timeout=8.0) == 0, node.output()


@pytest.mark.parametrize("fault", ["missing", "rate", "damaged", "no weights"])
def test_weights_that_cannot_be_used_are_one_line_and_exit_2(fault, weights, process, tmp_path, ros_domain):
    folder = tmp_path / "nowhere"
    if fault == "rate":
        folder = weights(rate_hz=5.0)
    elif fault == "damaged":
        folder = weights()
        (folder / "prophet.safetensors").write_bytes(b"no")
    node = process(command(None if fault == "no weights" else folder))
    assert node.wait(60) == 2, node.output()
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: "), node.output()
    words = {"rate": "expected rate 10 Hz", "damaged": "SHA-256", "missing": "prophet.json"}
    assert words.get(fault, "parameter weights") in lines[0]
