"""A simulated cell and the real arm_node on an address and ROS domain of their own, driven over the wire."""

import json
import socket
import sys
import time

import numpy as np
import rclpy
import yaml
from prophrl_core.cell import load_cell
from prophrl_core.config_path import find_config
from prophrl_core.task import load_task
from prophrl_interfaces.msg import ActionChunk, ArmStatus, ArmTarget, EnvelopeEvent, EpisodeEvent, ExecutedAction, GripperCommand
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVENT_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LOG_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
SPEC = load_task("grasp_bottle").action
EPISODE = "20260101-000000-grasp_bottle-001"


def write_cell(folder, ip, **changes):
    """A camera-less copy of the simulated cell on ``ip``; ``changes`` replace fields ("robot.model" as robot__model)."""
    data = yaml.safe_load(find_config("cells", "sim").read_text())
    data["robot"]["ip"], data["cameras"] = ip, []
    for name, value in changes.items():
        section, field = name.split("__")
        data.setdefault(section, {})[field] = value
    path = folder / f"cell-{ip}-{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


class ControlPort:
    """The simulator's control port: the truth, and the faults."""

    def __init__(self, ip, port=63399):
        self._socket = socket.create_connection((ip, port), timeout=10)
        self._lines = self._socket.makefile("r")

    def ask(self, command, **fields):
        self._socket.sendall((json.dumps({"cmd": command, **fields}) + "\n").encode())
        reply = json.loads(self._lines.readline())
        assert reply["ok"], reply
        return reply

    def fault(self, kind, **fields):
        self.ask("fault", kind=kind, **fields)

    def speed(self):
        """Largest joint speed, rad/s, in truth."""
        return float(np.abs(self.ask("state")["qd"]).max())

    def close(self):
        self._lines.close()
        self._socket.close()


class Operator:
    """An rclpy node that plays policy, session and operator for arm_node."""

    def __init__(self, domain):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("operator", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.status, self.statuses, self.joints, self.targets = None, [], [], []
        self.events, self.executed, self.gripper = [], [], []
        subscribe = self.node.create_subscription
        subscribe(ArmStatus, "arm/status", self._on_status, STATE_QOS)
        subscribe(JointState, "joint_states", self.joints.append, qos_profile_sensor_data)
        subscribe(ArmTarget, "arm/target", self.targets.append, qos_profile_sensor_data)
        subscribe(EnvelopeEvent, "arm/envelope_event", self.events.append, LOG_QOS)
        subscribe(ExecutedAction, "arm/executed_action", self.executed.append, LOG_QOS)
        subscribe(GripperCommand, "gripper/command", self.gripper.append, LOG_QOS)
        self._chunks = self.node.create_publisher(
            ActionChunk, "arm/chunk", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self._episodes = self.node.create_publisher(EpisodeEvent, "episode/event", EVENT_QOS)
        self.sequence = 0

    def close(self):
        self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _on_status(self, message):
        if self.status is None or (message.mode, message.reason) != (self.status.mode, self.status.reason):
            self.statuses.append((message.mode, message.reason))
        self.status = message

    def spin(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def until(self, predicate, timeout=30.0, what=""):
        """Spin until ``predicate()`` holds; returns the seconds it took."""
        start = time.monotonic()
        while not predicate():
            self.executor.spin_once(timeout_sec=0.02)
            if time.monotonic() - start > timeout:
                seen = [(m, r) for m, r in self.statuses[-6:]]
                raise AssertionError(f"{what or 'condition'} did not come in {timeout} s; last states {seen}")
        return time.monotonic() - start

    def until_mode(self, *modes, timeout=30.0):
        return self.until(lambda: self.status is not None and self.status.mode in modes, timeout, f"mode {modes}")

    def call(self, name):
        client = self.node.create_client(Trigger, name)
        assert client.wait_for_service(20.0), name
        future = client.call_async(Trigger.Request())
        self.until(future.done, 20.0, name)
        self.node.destroy_client(client)
        return future.result()

    def start_episode(self, episode=EPISODE):
        self.until(lambda: self._chunks.get_subscription_count() > 0, 20.0, "arm_node's subscription")
        event = EpisodeEvent(event=EpisodeEvent.STARTED, episode_id=episode, task="grasp_bottle")
        self._episodes.publish(event)
        self.until(lambda: self.status is not None and self.status.episode_id == episode, 20.0, "the episode")

    def stop_episode(self):
        self._episodes.publish(EpisodeEvent(event=EpisodeEvent.STOPPED, outcome="aborted"))
        self.until(lambda: self.status.episode_id == "", 20.0, "the end of the episode")

    def send_chunk(self, actions, observed_ago=0.0, episode=EPISODE, spec=SPEC.id, period=SPEC.step_period):
        actions = np.asarray(actions, np.float32)
        message = ActionChunk(
            episode_id=episode, spec_id=spec, policy_version="test", sequence=self.sequence, step_period=period,
            steps=len(actions), dims=actions.shape[1], actions=actions.ravel(),
        )  # fmt: skip
        now = self.node.get_clock().now()
        message.header.stamp = now.to_msg()
        message.observation_stamp = rclpy.time.Time(nanoseconds=now.nanoseconds - int(observed_ago * 1e9)).to_msg()
        self._chunks.publish(message)
        self.sequence += 1


def sway(steps=20, speed=0.12, openness=1.0, direction=(0.0, 1.0, 0.0)):
    """A chunk that moves the tool at ``speed`` m/s along ``direction`` of the TCP frame."""
    actions = np.zeros((steps, 7))
    actions[:, :3] = np.array(direction) * speed * SPEC.step_period
    actions[:, 6] = openness
    return actions


class ArmCell:
    """Simulated cell + arm_node + operator, started together; processes are stopped by the ``process`` fixture."""

    def __init__(self, process, folder, domain, ip, **changes):
        self.ip, self.cell_file = ip, write_cell(folder, ip, **changes)
        self.cell = load_cell(self.cell_file)
        self.start_process = process
        self.simulator = start_simulator(process, self.cell_file)
        self.control = ControlPort(ip)
        self.operator = Operator(domain)
        self.node = self.start_node()

    def start_node(self):
        return start_arm_node(self.start_process, self.cell_file)

    def home(self):
        """Bring the arm to READY at home."""
        self.operator.until_mode(ArmStatus.MODE_READY)
        answer = self.operator.call("arm/home")
        assert answer.success, answer.message
        self.operator.until_mode(ArmStatus.MODE_MOVING, timeout=20.0)
        self.operator.until_mode(ArmStatus.MODE_READY)

    def close(self):
        self.operator.close()
        self.control.close()


def start_simulator(process, cell_file):
    simulator = process(
        [sys.executable, "-m", "prophrl_sim.serve", "--cell", cell_file, "--task", "grasp_bottle"], name="sim_cell"
    )
    simulator.wait_for("ready on", 60.0)
    return simulator


def start_arm_node(process, cell_file, task="grasp_bottle"):
    command = [sys.executable, "-m", "prophrl_cell.nodes.arm_node", "--ros-args"]
    return process([*command, "-p", f"cell_file:={cell_file}", "-p", f"task_file:={task}"])
