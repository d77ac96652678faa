"""The simulated operator answers a session's events; the session and the cell's control port are stand-ins here."""

import json
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from prophrl_core.config_path import find_config

rclpy = pytest.importorskip("rclpy")

from prophrl_interfaces.msg import ArmStatus, EpisodeEvent  # noqa: E402
from prophrl_interfaces.srv import LabelEpisode  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402


class ControlPort:
    """Answers ``status`` with ``self.success`` and keeps what was asked."""

    def __init__(self, ip: str):
        self.success, self.asked = False, []
        self._listener = socket.create_server((ip, 63399))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            for line in sock.makefile("r"):
                message = json.loads(line)
                self.asked.append(message)
                sock.sendall((json.dumps({"ok": True, "success": self.success}) + "\n").encode())

    def close(self) -> None:
        self._listener.close()


class Session:
    """Publishes events and takes the operator's answers."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("session_stand_in", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._events = self.node.create_publisher(EpisodeEvent, "episode/event", qos)
        self.ready, self.labels, self.refusals = 0, [], 0
        self.node.create_service(Trigger, "session/scene_ready", self._scene_ready)
        self.node.create_service(LabelEpisode, "episode/label", self._label)
        self._status = self.node.create_publisher(ArmStatus, "arm/status", qos)
        self.resumed = 0
        self.node.create_service(Trigger, "arm/resume", self._resume)

    def _scene_ready(self, request, response):
        if self.refusals:
            self.refusals -= 1
            response.success, response.message = False, "not yet"
        else:
            self.ready += 1
            response.success = True
        return response

    def _resume(self, request, response):
        self.resumed += 1
        response.success = True
        return response

    def arm(self, mode: int) -> None:
        self._status.publish(ArmStatus(mode=mode))

    def _label(self, request, response):
        self.labels.append((request.episode_id, request.outcome))
        response.success = True
        return response

    def say(self, event: int, **content) -> None:
        self._events.publish(EpisodeEvent(event=event, **content))

    def spin(self, condition=lambda: False, seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def operator(process, ip: str, tmp_path: Path, *parameters: str):
    cell = yaml.safe_load(Path(find_config("cells", "sim")).read_text())
    cell["robot"]["ip"] = ip
    file = tmp_path / "cell.yaml"
    file.write_text(yaml.safe_dump(cell))
    command = [sys.executable, "-m", "prophrl_sim.nodes.operator_node", "--ros-args", "-p", f"cell_file:={file}"]
    return process([*command, *(word for pair in parameters for word in ("-p", pair))], name="operator_node")


def test_a_trial_from_reset_to_label(process, ros_domain, loopback_ip, tmp_path):
    control, session = ControlPort(loopback_ip), Session()
    try:
        session.refusals = 1
        node = operator(process, loopback_ip, tmp_path)
        session.say(EpisodeEvent.RESET_REQUESTED, seed=7, trial=0)
        assert session.spin(lambda: session.ready == 1), node.output()
        assert {"cmd": "reset", "seed": 7} in control.asked
        session.say(EpisodeEvent.STARTED, episode_id="one", seed=7)
        session.spin(seconds=1.0)
        assert session.labels == [] and {"cmd": "status"} in control.asked
        control.success = True
        assert session.spin(lambda: session.labels == [("one", "success")])
        session.say(EpisodeEvent.STOPPED, episode_id="one", outcome="success")
        session.say(EpisodeEvent.RESET_REQUESTED, seed=8, trial=1)
        assert session.spin(lambda: session.ready == 2)
        control.success = False
        session.say(EpisodeEvent.STARTED, episode_id="two", seed=8)
        session.say(EpisodeEvent.LABEL_REQUESTED, episode_id="two")
        assert session.spin(lambda: session.labels[1:] == [("two", "failure")])
        session.say(EpisodeEvent.STOPPED, episode_id="two", outcome="failure")
        session.spin(seconds=1.0)
        assert session.ready == 2 and len(session.labels) == 2
        assert node.interrupt() == 0
    finally:
        session.close()
        control.close()


def test_a_held_arm_is_freed_after_the_trial_and_not_during_it(process, ros_domain, loopback_ip, tmp_path):
    control, session = ControlPort(loopback_ip), Session()
    try:
        node = operator(process, loopback_ip, tmp_path)
        session.say(EpisodeEvent.STARTED, episode_id="one", seed=7)
        assert session.spin(lambda: {"cmd": "status"} in control.asked), node.output()
        session.arm(ArmStatus.MODE_HOLD)
        session.spin(seconds=3.0)
        assert session.resumed == 0 and not any(asked["cmd"] == "reset" for asked in control.asked)
        session.say(EpisodeEvent.STOPPED, episode_id="one", seed=7, outcome="fault")
        assert session.spin(lambda: session.resumed == 1), node.output()
        assert {"cmd": "reset", "seed": 7} in control.asked
        session.arm(ArmStatus.MODE_READY)
        session.spin(seconds=3.0)
        assert session.resumed == 1
        session.arm(ArmStatus.MODE_PROTECTIVE_STOP)
        session.spin(seconds=3.0)
        assert session.resumed == 1
    finally:
        session.close()
        control.close()


def test_beside_a_person_it_lays_out_the_scene_and_nothing_else(process, ros_domain, loopback_ip, tmp_path):
    control, session = ControlPort(loopback_ip), Session()
    try:
        node = operator(process, loopback_ip, tmp_path, "part:=scene")
        session.say(EpisodeEvent.RESET_REQUESTED, seed=7, trial=0)
        assert session.spin(lambda: {"cmd": "reset", "seed": 7} in control.asked), node.output()
        control.success = True
        session.say(EpisodeEvent.STARTED, episode_id="one", seed=7)
        session.spin(seconds=1.0)
        session.say(EpisodeEvent.LABEL_REQUESTED, episode_id="one")
        session.spin(seconds=1.0)
        assert session.ready == 0 and session.labels == [] and len(control.asked) == 1
        session.arm(ArmStatus.MODE_HOLD)
        session.say(EpisodeEvent.STOPPED, episode_id="one", seed=7, outcome="failure")
        assert session.spin(lambda: session.resumed == 1), node.output()
    finally:
        session.close()
        control.close()


def test_it_refuses_a_real_cell_in_one_line(process, ros_domain, tmp_path):
    cell = yaml.safe_load(Path(find_config("cells", "sim")).read_text())
    del cell["simulator"]
    file = tmp_path / "cell.yaml"
    file.write_text(yaml.safe_dump(cell))
    command = [sys.executable, "-m", "prophrl_sim.nodes.operator_node", "--ros-args", "-p", f"cell_file:={file}"]
    node = process(command, name="operator_node")
    assert node.wait(20.0) == 2
    assert "prophrl: error: operator_node: expected a simulated cell" in node.output()
