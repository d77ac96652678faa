"""The real recorder_node beside a real camera_node: killed, out of disk, and with a camera that stalls in a trial."""

import math
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from frame_server import FrameServer
from prophrl_bringup.bench.recorder_rig import RecorderRig
from prophrl_bringup.bench.recording_kills import run_kills
from prophrl_core.config_path import find_config
from prophrl_core.episode import read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_interfaces.msg import ArmTarget, CameraStatus, EpisodeEvent, RecorderStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from spun_node import SpunNode

EPISODE = "20261121-034500-grasp_bottle-000"
COLOUR = "/camera/front/color/image_raw/compressed"


class Rig(SpunNode):
    """A cell's cameras and recorder; the test plays session and arm (ArmTarget n has openness n, 50 Hz)."""

    def __init__(self, process, folder: Path, **recorder):
        self.server = FrameServer(rate=30)
        self.episodes = folder / "episodes"
        cell = yaml.safe_load(find_config("cells", "sim").read_text())
        cell["cameras"] = [cell["cameras"][0] | {"port": self.server.port, "stall_seconds": 0.5}]
        cell["recorder"] = {"min_free_bytes": 0} | recorder
        (folder / "cell.yaml").write_text(yaml.safe_dump(cell))
        super().__init__("session_and_arm")
        latched = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._events = self.node.create_publisher(EpisodeEvent, "episode/event", latched)
        self._targets = self.node.create_publisher(ArmTarget, "arm/target", qos_profile_sensor_data)
        self.recorder_status, self.camera_status, self.sent = [], [], 0
        self.node.create_subscription(RecorderStatus, "recorder/status", self.recorder_status.append, latched)
        self.node.create_subscription(CameraStatus, "camera/front/status", self.camera_status.append, latched)
        self.node.create_timer(0.02, self._send_target)
        self.spin()
        node = [sys.executable, "-m"]
        arguments = ["--ros-args", "-p", f"cell_file:={folder / 'cell.yaml'}"]
        command = [*node, "prophrl_cell.nodes.camera_node", *arguments, "-p", "camera:=front"]
        self.camera = process(command, name="camera")
        command = [*node, "prophrl_cell.nodes.recorder_node", *arguments, "-p", f"episodes_dir:={self.episodes}"]
        self.recorder = process(command, name="recorder")
        self.wait(lambda: self.recorder_status and self.camera_status and self.camera_status[-1].streaming)

    def _send_target(self):
        message = ArmTarget(openness=float(self.sent))
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._targets.publish(message)
        self.sent += 1

    def event(self, kind, **fields):
        event = EpisodeEvent(event=kind, episode_id=EPISODE, task="grasp_bottle", **fields)
        event.header.stamp = self.node.get_clock().now().to_msg()
        self._events.publish(event)

    def wait(self, condition, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s; recorder: {self.recorder.output()}"
            time.sleep(0.02)

    def recorded(self, topic):
        """Messages of a topic that the recorder says it has."""
        streams = self.recorder_status[-1].streams if self.recorder_status else []
        return sum(s.messages for s in streams if s.topic == topic)

    def start_episode(self):
        self.event(EpisodeEvent.STARTED)
        self.wait(lambda: self.recorded(COLOUR) > 15)

    def stop_episode(self):
        self.event(EpisodeEvent.STOPPED, outcome="success", reason="held")
        self.wait(lambda: self.recorder_status[-1].episode_id == "")

    def close(self):
        super().close()
        self.server.close()


@pytest.fixture
def rig(process, ros_domain, tmp_path):
    rigs = []

    def make(**options):
        rigs.append(Rig(process, tmp_path, **options))
        return rigs[-1]

    yield make
    for made in rigs:
        made.close()


def check_targets(episode):
    """Commanded values are consecutive; returns how many there are."""
    values = episode.series("/arm/target")["openness"]
    np.testing.assert_array_equal(np.diff(values), 1.0)
    return len(values)


def test_an_episode_is_whole_and_nothing_is_lost(rig):
    cell = rig()
    cell.start_episode()
    cell.wait(lambda: cell.recorded(COLOUR) > 60)
    health = {stream.topic: stream for stream in cell.recorder_status[-1].streams}
    assert health["/arm/target"].bytes > 1000 and 0.0 < health["/arm/target"].clock_skew < 0.5
    assert math.isnan(health["/teleop/command"].clock_skew), "nothing came: no skew"
    cell.stop_episode()
    assert cell.recorder.interrupt(timeout=5.0) == 0
    episode = read_episode(cell.episodes / EPISODE)
    assert (episode.meta.outcome, episode.meta.reason, episode.meta.cell) == ("success", "held", "sim")
    assert sum(s.lost for s in episode.meta.streams) == 0
    assert check_targets(episode) > 90
    (camera,) = episode.meta.calibration.cameras
    assert (camera.name, camera.width, camera.height, camera.k) == ("front", 320, 240, (300.0, 301.0, 160.5, 119.5))
    assert camera.distortion == pytest.approx((0.01, -0.02, 0.001, 0.002, 0.0), abs=1e-6)  # float32 on its way
    values = [int(np.median(image)) for _, image in episode.frames("front")]
    assert len(values) > 60 and np.all(np.diff(values) % 256 == 1), "every frame, in order, as it was sent"
    assert episode.topics["/camera/front/status"] >= 1, "state from before the start opens the bag"
    events = episode.series("/episode/event")["event"]
    assert events.tolist() == [EpisodeEvent.STARTED, EpisodeEvent.STOPPED]


def test_a_killed_recorder_leaves_the_episode_so_far_on_disk(rig):
    cell = rig()
    cell.start_episode()
    cell.wait(lambda: cell.recorded(COLOUR) > 60)
    last_sent = cell.sent
    cell.recorder.signal(signal.SIGKILL)
    cell.recorder.wait(10.0)
    command = [sys.executable, "-m", "prophrl_bringup.cli", "data", "repair", str(cell.episodes)]
    repair = subprocess.run(command, capture_output=True, text=True, check=False)
    assert repair.returncode == 0 and "1 of 1 unfinished episodes repaired" in repair.stdout, repair.stderr
    episode = read_episode(cell.episodes / EPISODE)
    assert episode.meta.outcome == "aborted"
    check_targets(episode)
    assert episode.series("/arm/target")["openness"][-1] > last_sent - 50, "at most the last second is missing"
    assert len(list(episode.frames("front"))) > 30


def test_kills_at_random_moments_cost_nothing_older_than_a_second(ros_domain, tmp_path):
    """Two cameras in a lighter load, everything numbered; some kills come while the episode is being finished."""
    with RecorderRig(tmp_path, ros_domain, size=(320, 240)) as rig:
        accounts = run_kills(rig, kills=4, seed=3, trial_s=1.6)
    assert sum(one.expected for one in accounts) > 500
    assert [one.lost for one in accounts] == [{}] * 4
    assert max(one.reach_s for one in accounts) < 1.0


def test_a_full_disk_ends_the_recording_cleanly_and_says_so(rig):
    """A file-size limit of the recorder's process stands in for a full disk."""
    cell = rig()
    cell.start_episode()
    limit = cell.recorder_status[-1].bytes_written + 8_000
    resource.prlimit(cell.recorder.pid, resource.RLIMIT_FSIZE, (limit, limit))
    cell.wait(lambda: cell.recorder_status[-1].state == RecorderStatus.STATE_FAULT)
    assert "writing failed: File too large" in cell.recorder_status[-1].reason
    cell.stop_episode()
    assert cell.recorder.returncode is None, "the recorder lives on"
    (folder,) = cell.episodes.iterdir()
    meta = read_meta(folder)
    assert "recording stopped early: writing failed" in meta.reason
    lost = {s.topic: s.lost for s in meta.streams}
    assert lost["/arm/target"] > 0 and lost[COLOUR] > 0, "what was not written is counted"
    if folder.name.endswith(".partial"):
        subprocess.run([sys.executable, "-m", "prophrl_bringup.cli", "data", "repair", str(folder)], check=True)
    assert check_targets(read_episode(cell.episodes / EPISODE)) > 0


def test_too_little_disk_refuses_to_record(rig):
    cell = rig(min_free_bytes=1 << 60)
    cell.event(EpisodeEvent.STARTED)
    cell.wait(lambda: cell.recorder_status[-1].state == RecorderStatus.STATE_FAULT)
    assert "MiB free on the disk" in cell.recorder_status[-1].reason
    cell.recorder.wait_for("MiB free on the disk", timeout=5.0)
    assert list(cell.episodes.iterdir()) == []


def test_a_camera_stall_inside_an_episode_shows_as_a_gap(rig):
    cell = rig()
    cell.start_episode()
    cell.server.paused.set()
    cell.wait(lambda: not cell.camera_status[-1].streaming)
    cell.server.paused.clear()
    cell.wait(lambda: cell.camera_status[-1].streaming)
    before = cell.recorded(COLOUR)
    cell.wait(lambda: cell.recorded(COLOUR) > before + 15)
    cell.stop_episode()
    episode = read_episode(cell.episodes / EPISODE)
    stream = {s.topic: s for s in episode.meta.streams}[COLOUR]
    assert stream.max_gap > 0.5 and stream.lost == 0
    status = episode.series("/camera/front/status")
    assert False in status["streaming"] and status["restarts"][-1] >= 1
    assert check_targets(episode) > 0, "everything else went on"
