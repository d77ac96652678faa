"""The arm's ROS face: chunks, teleoperation and the operator's words in, joint states, targets, status and events out.

``ros2 run prophrl_cell arm_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle``

Nothing here moves the arm: the RTDE process does, and ``ArmSupervisor`` keeps it alive. ``cycle_log`` names
a file that gets the issue time of every servo command (float64, monotonic s), for ``prophrl bench control``.
"""

import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from prophrl_core.cell import load_cell
from prophrl_core.claim import claim
from prophrl_core.clock import realtime_offset_ns, realtime_to_monotonic
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.stamps import nanoseconds_of
from prophrl_core.task import load_task
from prophrl_core.ur_models import JOINT_NAMES
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
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from prophrl_cell.arm import dashboard
from prophrl_cell.arm.realtime import PeriodStatistics
from prophrl_cell.arm.shared_state import MAX_CHUNK_STEPS, Command, EventKind, Mode
from prophrl_cell.arm.supervisor import ArmSupervisor
from prophrl_cell.nodes import arm_messages as convert

_NICE, _CATCH_UP = -10, 16
_PUBLISH_HZ, _SLOWER, _STATUS_S, _GRIPPER_S = 125, 2, 0.1, 0.5
_COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_LOG_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class ArmNode(ProcessNode):
    """Single-threaded; only ``arm/unlock`` works in a thread of its own, because the dashboard takes seconds."""

    def __init__(self):
        super().__init__("arm_node")
        self.declare_parameter("task_file", "")
        self.declare_parameter("cycle_log", "")
        self._supervisor: ArmSupervisor | None = None
        self._entities: list = []
        self._unlocking: threading.Thread | None = None
        self._cycle_log = None
        self._claim: socket.socket | None = None

    def setup(self) -> None:
        cell_file, task_file = self.text_parameter("cell_file"), self.text_parameter("task_file")
        self._cell = load_cell(cell_file)
        load_task(task_file)
        self._decimate = self._cell.robot.servo_rate // _PUBLISH_HZ
        if self.get_parameter("cycle_log").value:
            self._cycle_log = Path(self.get_parameter("cycle_log").value).open("wb")  # noqa: SIM115
        self.hurry(_NICE)  # chunks pass through here
        self._claim_the_name()
        self._supervisor = ArmSupervisor(cell_file, task_file)
        self._supervisor.start()
        while Mode(int(self._supervisor.state()["mode"])) in (Mode.STARTING, Mode.DISCONNECTED, Mode.FAULT):
            self._supervisor.poll()
            if self._supervisor.refusal:
                raise UserError(self._supervisor.refusal)
            time.sleep(0.02)

    def _claim_the_name(self) -> None:
        """A second arm_node of the same name on this machine would obey the words that are meant for the first."""
        domain, name = self.context.get_domain_id(), self.get_fully_qualified_name()
        self._claim = claim(f"{domain}{name}")
        if self._claim is None:
            raise UserError(
                f"expected no other {name} on ROS domain {domain}, one runs on this machine; stop it, or set "
                "ROS_DOMAIN_ID to another number for this one"
            )

    def begin(self) -> None:
        self._periods = PeriodStatistics()
        self._samples = self._published = 0
        self._status_at, self._status_key = 0.0, None
        self._openness, self._openness_at, self._mode = None, 0.0, Mode.STARTING
        self._joint_states = self.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._tcp_pose = self.create_publisher(PoseStamped, "arm/tcp_pose", qos_profile_sensor_data)
        self._wrench = self.create_publisher(WrenchStamped, "arm/wrench", qos_profile_sensor_data)
        self._target = self.create_publisher(ArmTarget, "arm/target", qos_profile_sensor_data)
        self._status = self.create_publisher(ArmStatus, "arm/status", LATEST)
        self._executed = self.create_publisher(ExecutedAction, "arm/executed_action", _LOG_QOS)
        self._envelope = self.create_publisher(EnvelopeEvent, "arm/envelope_event", _LOG_QOS)
        self._gripper_command = self.create_publisher(GripperCommand, "gripper/command", _COMMAND_QOS)
        chunks = self.create_subscription(ActionChunk, "arm/chunk", self._on_chunk, _COMMAND_QOS)
        episodes = self.create_subscription(EpisodeEvent, "episode/event", self._on_episode, EVENTS)
        teleop = self.create_subscription(TeleopCommand, "teleop/command", self._on_teleop, _COMMAND_QOS)
        self._entities = [
            (self.destroy_subscription, chunks),
            (self.destroy_subscription, teleop),
            (self.destroy_subscription, episodes),
            (self.destroy_service, self.create_service(Trigger, "arm/home", self._on_home)),
            (self.destroy_service, self.create_service(Trigger, "arm/hold", self._on_hold)),
            (self.destroy_service, self.create_service(Trigger, "arm/resume", self._on_resume)),
            (self.destroy_service, self.create_service(Trigger, "arm/unlock", self._on_unlock)),
            (self.destroy_timer, self.create_timer(1.0 / _PUBLISH_HZ, self._tick)),
        ]  # fmt: skip

    def end(self) -> None:
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities = []

    def teardown(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._cycle_log is not None:
            self._cycle_log.close()
            self._cycle_log = None
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _tick(self) -> None:
        line = self._supervisor.poll()
        if line:
            self.get_logger().error(line)
            self._periods.restart()
        memory, offset = self._supervisor.memory, realtime_offset_ns()
        samples = memory.samples.pop_all()
        due = []
        for sample in samples:
            self._periods.add(float(sample["command_stamp"]))
            if self._samples % self._decimate == 0:
                due.append(sample)
            self._samples += 1
        for sample in due[:: 1 + len(due) // _CATCH_UP]:  # a node that was starved thins out, or it never catches up
            self._publish_sample(sample, offset)
        if samples and self._cycle_log is not None:
            np.array([s["command_stamp"] for s in samples]).tofile(self._cycle_log)
        for record in memory.events.pop_all():
            if int(record["kind"]) == EventKind.LOG:
                self.get_logger().warning(record["detail"].decode())
            else:
                self._envelope.publish(convert.envelope_event(record, offset))
        for record in memory.executed.pop_all():
            self._executed.publish(convert.executed_action(record, offset))
        self._publish_status()

    def _publish_sample(self, sample: np.ndarray, offset: int) -> None:
        self._joint_states.publish(convert.joint_state(sample, offset, list(JOINT_NAMES)))
        if self._published % _SLOWER == 0:
            self._tcp_pose.publish(convert.tcp_pose(sample, offset))
            self._wrench.publish(convert.wrench(sample, offset))
            self._target.publish(convert.target(sample, offset))
        self._published += 1
        self._publish_openness(sample, offset)

    def _publish_openness(self, sample: np.ndarray, offset: int) -> None:
        """Tell the gripper on every change, and now and again while the arm is at work; never at start-up."""
        openness, now = float(sample["openness"]), float(sample["stamp"])
        changed = self._openness is not None and openness != self._openness
        self._openness = openness
        if not changed and not (self._mode in (Mode.MOVING, Mode.EXECUTING) and now - self._openness_at > _GRIPPER_S):
            return
        self._openness_at = now
        command = GripperCommand(openness=openness, speed=self._cell.gripper.speed, force=self._cell.gripper.force)
        command.header.stamp = convert.stamp(now, offset)
        self._gripper_command.publish(command)

    def _publish_status(self) -> None:
        state, now = self._supervisor.state(), time.monotonic()
        self._mode = Mode(int(state["mode"]))
        key = (int(state["mode"]), bytes(state["reason"]), bytes(state["episode_id"]), self._supervisor.restarts,
               int(state["control"]))  # fmt: skip
        if key == self._status_key and now - self._status_at < _STATUS_S:
            return
        if self._status_key is None or key[:2] != self._status_key[:2]:
            self._log_state(Mode(key[0]), key[1].decode())
        self._status_at, self._status_key = now, key
        message = convert.status(state, self._periods.percentiles_ms(), self._supervisor.restarts)
        message.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(message)

    def _log_state(self, mode: Mode, reason: str) -> None:
        if reason:
            self.get_logger().warning(f"arm {mode.name}: {reason}")
        else:
            self.get_logger().info(f"arm {mode.name}")

    def _on_chunk(self, message: ActionChunk) -> None:
        steps, dims = int(message.steps), int(message.dims)
        actions = np.zeros((MAX_CHUNK_STEPS, 7), np.float32)
        values = np.asarray(message.actions, np.float32)
        if values.size != steps * dims:
            dims = 0  # not what it claims to be: refused for its size
        elif dims == 7 and steps <= MAX_CHUNK_STEPS:
            actions[:steps] = values.reshape(steps, dims)
        observed = realtime_to_monotonic(nanoseconds_of(message.observation_stamp))
        taken = self._supervisor.send(
            Command.CHUNK, source=message.source, episode_id=message.episode_id.encode()[:64],
            spec_id=message.spec_id.encode()[:16], policy_version=message.policy_version.encode()[:128],
            sequence=message.sequence, step_period=message.step_period,
            observation_time=observed, steps=steps, dims=dims, actions=actions,
        )  # fmt: skip
        if not taken:
            self.get_logger().warning("a chunk was dropped: the RTDE process does not take commands")

    def _on_teleop(self, message: TeleopCommand) -> None:
        self._supervisor.teleop(**convert.teleop_fields(message, time.monotonic()))

    def _on_episode(self, message: EpisodeEvent) -> None:
        if message.event == EpisodeEvent.STARTED:
            self._supervisor.send(Command.EPISODE_START, episode_id=message.episode_id.encode()[:64])
        elif message.event in (EpisodeEvent.STOPPED, EpisodeEvent.SESSION_ENDED):
            self._supervisor.send(Command.EPISODE_STOP)

    def _on_home(self, _request, response: Trigger.Response) -> Trigger.Response:
        return self._command(
            response, Command.HOME, (Mode.READY, Mode.EXECUTING, Mode.MOVING), "moving home; watch arm/status"
        )

    def _on_hold(self, _request, response: Trigger.Response) -> Trigger.Response:
        return self._command(response, Command.HOLD, tuple(Mode), "holding; arm/resume continues")

    def _on_resume(self, _request, response: Trigger.Response) -> Trigger.Response:
        return self._command(response, Command.RESUME, (Mode.HOLD,), "resuming; watch arm/status")

    def _command(
        self, response: Trigger.Response, kind: Command, modes: tuple[Mode, ...], done: str
    ) -> Trigger.Response:
        state = self._supervisor.state()
        mode = Mode(int(state["mode"]))
        response.success = mode in modes and self._supervisor.send(kind)
        reason = state["reason"].decode()
        response.message = (
            done if response.success else f"the arm is in {mode.name}" + (f": {reason}" if reason else "")
        )
        return response

    def _on_unlock(self, _request, response: Trigger.Response) -> Trigger.Response:
        if self._unlocking is not None and self._unlocking.is_alive():
            response.message = "an unlock is already under way; watch arm/status"
            return response
        self._unlocking = threading.Thread(target=self._unlock, daemon=True)
        self._unlocking.start()
        response.success, response.message = True, "unlocking; watch arm/status, then arm/resume"
        return response

    def _unlock(self) -> None:
        try:
            done = dashboard.unlock(self._cell.robot.ip)
        except UserError as error:
            self.get_logger().error(str(error))
            return
        self.get_logger().info(f"unlock: {done}")


def main() -> None:
    sys.exit(run(ArmNode))


if __name__ == "__main__":
    main()
