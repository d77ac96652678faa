"""An rclpy client of arm_node that plays policy, session and operator, for calibration, benches and system tests."""

import math
import time

import numpy as np
import rclpy
from prophrl_core.errors import UserError
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.task import load_task
from prophrl_interfaces.msg import (
    ActionChunk,
    ArmStatus,
    ArmTarget,
    EnvelopeEvent,
    EpisodeEvent,
    ExecutedAction,
    GripperCommand,
    TeleopCommand,
)  # fmt: skip
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

TASK = "grasp_bottle"  # whose actions it sends: the cell has to be started for it
EPISODE = f"20260101-000000-{TASK}-001"
SERVICES = ("arm/home", "arm/hold", "arm/resume", "arm/unlock")
LIMIT_S = 30.0


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def sway(steps: int = 20, speed: float = 0.12, openness: float = 1.0, direction=(0.0, 1.0, 0.0)) -> np.ndarray:
    """A chunk (steps, 7) at 10 Hz that moves the tool at ``speed`` m/s along ``direction`` of the TCP frame."""
    actions_TD = np.zeros((steps, 7))
    actions_TD[:, :3] = np.array(direction) * speed * 0.1
    actions_TD[:, 6] = openness
    return actions_TD


class ArmClient:
    """What arm_node said is kept in lists; what it is asked blocks until it happened, or raises UserError."""

    def __init__(self, domain: int | None = None, name: str = "arm_client"):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._task = load_task(TASK)
        self.spec = self._task.action
        self.status: ArmStatus | None = None
        self.statuses: list[tuple[int, str]] = []
        self.joints, self.targets, self.events, self.executed, self.gripper = [], [], [], [], []
        subscribe = self.node.create_subscription
        subscribe(ArmStatus, "arm/status", self._on_status, LATEST)
        subscribe(JointState, "joint_states", self.joints.append, qos_profile_sensor_data)
        subscribe(ArmTarget, "arm/target", self.targets.append, qos_profile_sensor_data)
        subscribe(EnvelopeEvent, "arm/envelope_event", self.events.append, _reliable(100))
        subscribe(ExecutedAction, "arm/executed_action", self.executed.append, _reliable(100))
        subscribe(GripperCommand, "gripper/command", self.gripper.append, _reliable(100))
        self._chunks = self.node.create_publisher(ActionChunk, "arm/chunk", _reliable(1))
        self._teleop = self.node.create_publisher(TeleopCommand, "teleop/command", _reliable(1))
        self._episodes = self.node.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self._services = {name: self.node.create_client(Trigger, name) for name in SERVICES}
        self.sequence = 0

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _on_status(self, message: ArmStatus) -> None:
        if self.status is None or (message.mode, message.reason) != (self.status.mode, self.status.reason):
            self.statuses.append((message.mode, message.reason))
        self.status = message

    def spin(self, seconds: float) -> None:
        """Take messages for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.005)

    def until(self, predicate, what: str, limit: float = LIMIT_S) -> float:
        """Spin until ``predicate()`` holds; the seconds it took."""
        start = time.monotonic()
        while not predicate():
            self.executor.spin_once(timeout_sec=0.005)
            if time.monotonic() - start > limit:
                raise UserError(
                    f"expected {what} within {limit:.0f} s, it did not come; last states {self.statuses[-5:]}, "
                    f"limits {[e.limit for e in self.events[-5:]]}"
                )
        return time.monotonic() - start

    def until_mode(self, *modes: int, limit: float = LIMIT_S) -> float:
        """Spin until the arm is in one of ``modes`` (ArmStatus.MODE_*)."""
        return self.until(lambda: self.status is not None and self.status.mode in modes, f"arm mode in {modes}", limit)

    def call(self, name: str) -> Trigger.Response:
        """Call one of arm_node's services."""
        client = self._services[name]
        self.until(client.service_is_ready, f"service {name}")
        future = client.call_async(Trigger.Request())
        self.until(future.done, f"an answer of {name}")
        return future.result()

    def home(self) -> None:
        """Send the arm home and wait until it is READY there."""
        self.until_mode(ArmStatus.MODE_READY)
        answer = self.call("arm/home")
        if not answer.success:
            raise UserError(f"expected the arm to go home, it answered: {answer.message}")
        self.spin(0.4)
        self.until_mode(ArmStatus.MODE_READY)

    def recover(self) -> None:
        """The operator's part after a fault: unlock what is locked, give the word, wait for READY."""
        stopped = (ArmStatus.MODE_PROTECTIVE_STOP, ArmStatus.MODE_EMERGENCY_STOP, ArmStatus.MODE_FAULT)
        self.until_mode(ArmStatus.MODE_READY, ArmStatus.MODE_HOLD, *stopped)
        if self.status.mode in stopped:
            self.call("arm/unlock")
            self.until_mode(ArmStatus.MODE_HOLD, ArmStatus.MODE_READY)
        if self.status.mode == ArmStatus.MODE_HOLD:
            self.call("arm/resume")
        self.until_mode(ArmStatus.MODE_READY)

    def start_episode(self, episode: str = EPISODE) -> None:
        """Announce an episode and wait until the arm takes its chunks."""
        self.until(lambda: self._chunks.get_subscription_count() > 0, "arm_node's subscription")
        event = EpisodeEvent(event=EpisodeEvent.STARTED, episode_id=episode, task=TASK)
        event.instruction, event.header.stamp = self._task.instruction, self.node.get_clock().now().to_msg()
        self._episodes.publish(event)
        self.until(lambda: self.status is not None and self.status.episode_id == episode, "the episode in arm/status")

    def stop_episode(self) -> None:
        """Announce the end of the episode and wait until the arm knows."""
        self._episodes.publish(EpisodeEvent(event=EpisodeEvent.STOPPED, outcome="aborted"))
        self.until(lambda: self.status.episode_id == "", "the end of the episode in arm/status")

    def send_chunk(
        self, actions_TD: np.ndarray, observed_ago: float = 0.0, episode: str = EPISODE, spec_id: str = "", **changes
    ) -> None:
        """Publish a chunk whose observation is ``observed_ago`` seconds old; ``changes`` replace message fields."""
        actions_TD = np.asarray(actions_TD, np.float32)
        fields = {
            "episode_id": episode, "spec_id": spec_id or self.spec.id, "policy_version": "arm_client",
            "sequence": self.sequence, "step_period": self.spec.step_period, "steps": len(actions_TD),
            "dims": actions_TD.shape[1], "actions": actions_TD.ravel(),
        } | changes  # fmt: skip
        message = ActionChunk(**fields)
        now = self.node.get_clock().now()
        message.header.stamp = now.to_msg()
        message.observation_stamp = rclpy.time.Time(nanoseconds=now.nanoseconds - int(observed_ago * 1e9)).to_msg()
        self._chunks.publish(message)
        self.sequence += 1

    def execute(self, actions_TD: np.ndarray) -> None:
        """Send a chunk, again where a busy machine made it late, until the arm follows it."""
        for _ in range(8):
            self.send_chunk(actions_TD)
            end = time.monotonic() + 3.0
            while time.monotonic() < end:
                self.spin(0.01)
                if self.status.mode == ArmStatus.MODE_EXECUTING:
                    return
        raise UserError(f"expected the arm to follow a chunk; last limits {[e.limit for e in self.events[-5:]]}")

    def teleop(self, twist=(0.0,) * 6, stamped_ago: float = 0.0, **fields) -> None:
        """Publish one teleop command: ``twist`` (6,) m/s, rad/s; deadman held unless ``fields`` say otherwise."""
        message = TeleopCommand(**({"device": "arm_client", "deadman": True, "openness": math.nan} | fields))
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = map(float, twist)
        now = self.node.get_clock().now().nanoseconds
        message.header.stamp = rclpy.time.Time(nanoseconds=now - int(stamped_ago * 1e9)).to_msg()
        self._teleop.publish(message)

    def jog(self, seconds: float, twist=(0.0,) * 6, **fields) -> None:
        """Hold the deadman and publish ``twist`` at 100 Hz for a while; does not release it."""
        self.until(lambda: self._teleop.get_subscription_count() > 0, "arm_node's teleop subscription")
        due = time.monotonic()
        end = due + seconds
        while due < end:
            self.teleop(twist, **fields)
            due = max(due + 0.01, time.monotonic())
            while time.monotonic() < due:
                self.executor.spin_once(timeout_sec=max(0.0, min(0.005, due - time.monotonic())))

    def release(self) -> None:
        """Let go of the deadman."""
        self.teleop(deadman=False)

    def feed_policy(self, end: float) -> None:
        """Keep a policy at work until monotonic time ``end`` where no arm_node is: an episode and a resting target."""
        targets = self.node.create_publisher(ArmTarget, "arm/target", qos_profile_sensor_data)
        event = EpisodeEvent(event=EpisodeEvent.STARTED, episode_id=EPISODE, task=TASK)
        event.header.stamp = self.node.get_clock().now().to_msg()
        self._episodes.publish(event)
        message = ArmTarget(openness=1.0)
        message.header.frame_id = "base"
        message.tcp.position.x, message.tcp.position.z, message.tcp.orientation.x = 0.5, 0.32, 1.0
        while time.monotonic() < end:
            message.header.stamp = self.node.get_clock().now().to_msg()
            targets.publish(message)
            self.spin(0.02)
        self.node.destroy_publisher(targets)

    def sway_until(self, end: float, speed: float = 0.12) -> None:
        """Send overlapping chunks to and fro until monotonic time ``end``, as a policy would, every 0.8 s."""
        while time.monotonic() < end:
            side = 1.0 if self.sequence % 2 else -1.0
            self.send_chunk(sway(speed=speed, direction=(0.0, side, 0.0)))
            self.spin(min(0.8, max(0.0, end - time.monotonic())))
