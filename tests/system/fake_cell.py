"""The rest of a cell over real DDS, as the console sees it; it remembers what it was told."""

import time

import numpy as np
from prophrl_interfaces.msg import (
    ArmStatus,
    CameraStatus,
    EnvelopeEvent,
    EpisodeCommand,
    EpisodeEvent,
    GripperState,
    PolicyStatus,
    RecorderStatus,
    StreamHealth,
    TeleopCommand,
    TeleopStatus,
)
from prophrl_interfaces.srv import LoadPolicy
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from spun_node import SpunNode
from std_srvs.srv import Trigger

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STREAMS = (
    ("/camera/front/color/image_raw", 1830, 0, 29.9, 0.051, 0.012), ("/joint_states", 7630, 0, 125.0, 0.017, 0.001),
    ("/arm/target", 3815, 4, 62.4, 0.6, 0.002), ("/episode/event", 2, 0, 0.0, 0.0, 0.001),
)  # fmt: skip


class FakeCell(SpunNode):
    """Arm, gripper, camera, recorder, policy and teleop of a cell, except session_node and console_node."""

    def __init__(self):
        super().__init__("rest_of_the_cell")
        self.mode, self.reason, self.control = ArmStatus.MODE_READY, "", ArmStatus.CONTROL_NONE
        self.policy_version = "grasp_sft@000000000000"
        self.asked: list[str] = []  # services called
        self.jogs: list[tuple[float, TeleopCommand]] = []  # (received, command)
        self.words: list[EpisodeCommand] = []
        self.episode_id = ""
        make, subscribe = self.node.create_publisher, self.node.create_subscription
        self._arm = make(ArmStatus, "arm/status", LATCHED)
        self._policy = make(PolicyStatus, "policy/status", LATCHED)
        self._recorder = make(RecorderStatus, "recorder/status", LATCHED)
        self._teleop = make(TeleopStatus, "teleop/status", LATCHED)
        self._camera = make(CameraStatus, "camera/front/status", LATCHED)
        self._gripper = make(GripperState, "gripper/state", qos_profile_sensor_data)
        self._image = make(Image, "camera/front/color/image_raw", qos_profile_sensor_data)
        self.envelope = make(EnvelopeEvent, "arm/envelope_event", QoSProfile(depth=100))
        subscribe(TeleopCommand, "teleop/console", self._jogged, QoSProfile(depth=50))
        subscribe(EpisodeEvent, "episode/event", self._announced, QoSProfile(depth=20))
        subscribe(EpisodeCommand, "episode/command", self.words.append, QoSProfile(depth=10))
        for name in ("arm/hold", "arm/resume", "arm/unlock", "arm/home"):
            self.node.create_service(Trigger, name, lambda _, response, name=name: self._trigger(name, response))
        self.node.create_service(LoadPolicy, "policy/load", self._load)
        self.node.create_timer(0.1, self._report)
        self.node.create_timer(0.05, self._show)
        self.spin()

    def _jogged(self, message):
        self.jogs.append((time.monotonic(), message))

    def _announced(self, event):
        if event.event in (EpisodeEvent.STARTED, EpisodeEvent.STOPPED):
            self.episode_id = event.episode_id if event.event == EpisodeEvent.STARTED else ""

    def _trigger(self, name, response):
        self.asked.append(name)
        response.success = name != "arm/unlock"
        response.message = f"{name} was heard" if response.success else "an unlock is already under way"
        return response

    def _load(self, request, response):
        self.asked.append(request.bundle)
        response.success, response.message = True, "loaded"
        self.policy_version = f"{request.bundle.rsplit('/', 1)[-1]}@loaded"
        return response

    def _report(self):
        self._arm.publish(ArmStatus(
            mode=self.mode, reason=self.reason, control=self.control, speed_scaling=0.8, period_p50=8.0,
            period_p99=8.2, missed_cycles=3, realtime=True,
        ))  # fmt: skip
        streams = [
            StreamHealth(topic=t, messages=n, lost=lost, rate=rate, max_gap=gap, clock_skew=skew)
            for t, n, lost, rate, gap, skew in STREAMS
        ]
        self._recorder.publish(RecorderStatus(
            episode_id=self.episode_id, disk_free=123_000_000_000, bytes_written=34_000_000, streams=streams,
        ))  # fmt: skip
        self._camera.publish(CameraStatus(name="front", streaming=True, rate=29.8, dropped=2, latency=0.011))
        self._gripper.publish(GripperState(connected=True, activated=True, openness=0.97, commanded=1.0))
        self._policy.publish(PolicyStatus(
            state=PolicyStatus.STATE_IDLE, version=self.policy_version, backend="onnxruntime-cpu", latency_p50=61.0,
        ))  # fmt: skip
        self._teleop.publish(TeleopStatus(
            devices=["spacemouse", "console"], connected=[False, True], reasons=["not plugged in", ""],
        ))  # fmt: skip

    def _show(self):
        pixels = np.zeros((480, 640, 3), np.uint8)
        pixels[..., 0] = 180
        pixels[:, int(time.monotonic() * 200) % 600 :][:, :40] = 240
        image = Image(height=480, width=640, encoding="rgb8", step=1920)
        image.data = pixels.tobytes()
        self._image.publish(image)
