"""The real camera_node over DDS, fed over the frame link: what it publishes, and what it does under faults."""

import sys
import time

import numpy as np
import pytest
import yaml
from frame_server import MODEL, FrameServer
from prophrl_cell.image_cdr import read_image
from prophrl_core.config_path import find_config
from prophrl_interfaces.msg import CameraStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from spun_node import SpunNode


class Listener(SpunNode):
    """Everything one camera publishes."""

    def __init__(self):
        super().__init__("listener")
        self.colour, self.depth, self.info, self.status = [], [], [], []
        subscribe = self.node.create_subscription
        subscribe(Image, "camera/front/color/image_raw", self._image(self.colour), qos_profile_sensor_data, raw=True)
        depth = "camera/front/aligned_depth_to_color/image_raw"
        subscribe(Image, depth, self._image(self.depth), qos_profile_sensor_data, raw=True)
        subscribe(CameraInfo, "camera/front/color/camera_info", self.info.append, qos_profile_sensor_data)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        subscribe(CameraStatus, "camera/front/status", self.status.append, latched)
        self.spin()

    @staticmethod
    def _image(images):
        return lambda message: images.append((time.time_ns(), read_image(message)))

    def wait(self, condition, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s; last status {self.status[-1:]}"
            time.sleep(0.01)


@pytest.fixture
def listener(ros_domain):
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def server():
    server = FrameServer(rate=30)
    yield server
    server.close()


def cell_file(folder, **camera):
    description = yaml.safe_load(find_config("cells", "sim").read_text())
    description["cameras"] = [description["cameras"][0] | camera]
    path = folder / "cell.yaml"
    path.write_text(yaml.safe_dump(description))
    return path


def start(process, cell, camera="front"):
    command = [sys.executable, "-m", "prophrl_cell.nodes.camera_node", "--ros-args", "-p", f"cell_file:={cell}"]
    return process([*command, "-p", f"camera:={camera}"], name="camera")


def test_images_depth_intrinsics_and_stamps(listener, server, process, tmp_path):
    camera = start(process, cell_file(tmp_path, port=server.port))
    listener.wait(lambda: len(listener.colour) > 45 and len(listener.depth) > 30)
    assert camera.interrupt(timeout=5.0) == 0
    values = np.array([view.pixels[0, 0, 0] for _, view in listener.colour], int)
    assert np.all(np.diff(values) % 256 == 1), "no frame lost, none repeated"
    depths = {view.stamp_ns: int(view.pixels[5, 5]) for _, view in listener.depth}
    matched = [(int(v.pixels[0, 0, 0]), depths[v.stamp_ns]) for _, v in listener.colour if v.stamp_ns in depths]
    assert len(matched) > 30 and all((depth - 1000) % 256 == value for value, depth in matched)
    stamps = np.array([view.stamp_ns for _, view in listener.colour]) * 1e-9
    assert abs(np.median(np.diff(stamps)) - 1 / 30) < 1e-4
    assert all(-0.001 < received * 1e-9 - view.stamp_ns * 1e-9 < 2.0 for received, view in listener.colour)
    info = listener.info[-1]
    assert (info.width, info.height, info.distortion_model) == (MODEL.width, MODEL.height, "plumb_bob")
    np.testing.assert_allclose(info.k, MODEL.K.ravel(), rtol=1e-6)
    np.testing.assert_allclose(info.d, MODEL.distortion, rtol=1e-6)
    assert info.header.frame_id == "camera_front" == listener.colour[0][1].frame_id


def test_a_stall_is_reported_and_the_pipeline_restarted(listener, server, process, tmp_path):
    start(process, cell_file(tmp_path, port=server.port, stall_seconds=0.5))
    listener.wait(lambda: listener.status and listener.status[-1].streaming)
    server.paused.set()
    listener.wait(lambda: not listener.status[-1].streaming)
    assert "no frame for" in listener.status[-1].reason
    listener.wait(lambda: server.connections >= 2)
    server.paused.clear()
    listener.wait(lambda: listener.status[-1].streaming)
    assert listener.status[-1].restarts >= 1
    seen = len(listener.colour)
    server.hang_up()
    listener.wait(lambda: listener.status[-1].restarts >= 2 and listener.status[-1].streaming)
    listener.wait(lambda: len(listener.colour) > seen + 10)
    stamps = [view.stamp_ns for _, view in listener.colour]
    assert stamps == sorted(stamps), "time does not run backwards over restarts"


@pytest.mark.parametrize(("camera", "name", "line"), [
    ({"port": 9}, "front", "prophrl: error: camera front: expected a frame server at 127.0.0.1:9, got"),
    ({"source": "realsense", "serial": "0123"}, "front", "camera front: expected RealSense 0123, found none; plug it in"),
    ({}, "wrist", "prophrl: error: cell sim: no camera 'wrist' (it has: front)"),
])
def test_a_missing_camera_is_one_line_and_exit_status_2(ros_domain, process, tmp_path, camera, name, line):
    node = start(process, cell_file(tmp_path, **camera), name)
    assert node.wait(timeout=30.0) == 2
    assert line in node.output() and len(node.output().strip().splitlines()) == 1
