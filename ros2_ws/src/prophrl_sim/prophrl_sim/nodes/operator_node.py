"""Plays the person beside a simulated cell: lays out the scene, watches the goal, labels trials, frees a held arm.

``ros2 run prophrl_sim operator_node --ros-args -p cell_file:=sim``

With the parameter ``part`` set to ``scene`` a person runs the trials: only the scene is laid out and a held arm freed.
"""

import sys
import time

import rclpy
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.stop_signal import StopSignal
from prophrl_interfaces.msg import ArmStatus, EpisodeEvent
from prophrl_interfaces.srv import LabelEpisode
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from prophrl_sim.control_client import ControlClient, ControlError

LOOK_PERIOD_S = 0.1
RETRY_S = 1.0
FREEING_S = 1.5  # between clearing the tool and giving the arm its word
NAME = "simulated operator"
ALL, SCENE = "all", "scene"


class OperatorNode(Node):
    """Acts on the latest episode event only: older latched ones are history."""

    def __init__(self):
        super().__init__("operator_node")
        self.declare_parameter("cell_file", "")
        self.declare_parameter("task_file", "")
        self.declare_parameter("part", ALL)
        self._part = self.get_parameter("part").value
        if self._part not in (ALL, SCENE):
            raise UserError(f"operator_node: part: expected {ALL} or {SCENE}, got {self._part!r}")
        cell_file = self.get_parameter("cell_file").value
        if not cell_file:
            raise UserError("operator_node: expected parameter cell_file, got none; start it with -p cell_file:=...")
        cell = load_cell(cell_file)
        if cell.simulator is None:
            raise UserError(f"operator_node: expected a simulated cell, got {cell.name}; a person labels real trials")
        self._control = ControlClient(cell.robot.ip, cell.simulator.control_port)
        self._latest: EpisodeEvent | None = None
        self._done_with: EpisodeEvent | None = None
        self._answer = None
        self._not_before = 0.0
        self.create_subscription(EpisodeEvent, "episode/event", self._heard, EVENTS)
        self._arm_holds = self._tool_cleared = False
        self.create_subscription(ArmStatus, "arm/status", self._arm_heard, LATEST)
        self._resume = self.create_client(Trigger, "arm/resume")
        self._scene_ready = self.create_client(Trigger, "session/scene_ready")
        self._label = self.create_client(LabelEpisode, "episode/label")
        self.create_timer(LOOK_PERIOD_S, self._look)

    def _heard(self, event: EpisodeEvent) -> None:
        self._latest, self._answer, self._not_before = event, None, 0.0

    def _arm_heard(self, status: ArmStatus) -> None:
        self._arm_holds = status.mode == ArmStatus.MODE_HOLD

    def _look(self) -> None:
        """Do what the latest event asks for, until the session has taken the answer."""
        event = self._latest
        if event is None or event is self._done_with or time.monotonic() < self._not_before:
            return
        if event.event == EpisodeEvent.STOPPED:
            self._free_arm(event)
            return
        if self._answer is not None:
            self._check_answer(event)
            return
        try:
            if event.event == EpisodeEvent.RESET_REQUESTED:
                self._control.request("reset", seed=int(event.seed))
                if self._part == SCENE:
                    self._done_with = event
                else:
                    self._ask(self._scene_ready, Trigger.Request())
            elif self._part == ALL and event.event in (EpisodeEvent.STARTED, EpisodeEvent.LABEL_REQUESTED):
                self._judge(event)
        except ControlError as error:
            self.get_logger().warning(f"{error}; trying again", throttle_duration_sec=5.0)
            self._not_before = time.monotonic() + RETRY_S

    def _free_arm(self, event: EpisodeEvent) -> None:
        """An arm that holds after a trial pressed on something: take it away, then let the arm move again."""
        if not self._arm_holds:
            self._tool_cleared = False
            return
        try:
            if not self._tool_cleared:
                self._control.request("reset", seed=int(event.seed))
                self._not_before = time.monotonic() + FREEING_S
            elif self._resume.service_is_ready():
                self._resume.call_async(Trigger.Request())
                self._not_before = time.monotonic() + RETRY_S
            self._tool_cleared = not self._tool_cleared
        except ControlError as error:
            self.get_logger().warning(f"{error}; trying again", throttle_duration_sec=5.0)
            self._not_before = time.monotonic() + RETRY_S

    def _judge(self, event: EpisodeEvent) -> None:
        reached = self._control.request("status")["success"]
        if not reached and event.event == EpisodeEvent.STARTED:
            return
        reason = "goal reached" if reached else "goal not reached in time"
        outcome = "success" if reached else "failure"
        request = LabelEpisode.Request(
            episode_id=event.episode_id, outcome=outcome, reason=reason, operator_name=NAME
        )
        self._ask(self._label, request)

    def _ask(self, client, request) -> None:
        if client.service_is_ready():
            self._answer = client.call_async(request)
        else:
            self._not_before = time.monotonic() + RETRY_S

    def _check_answer(self, event: EpisodeEvent) -> None:
        if not self._answer.done():
            return
        response, self._answer = self._answer.result(), None
        if response is not None and response.success:
            self._done_with = event
        else:
            why = "no answer" if response is None else response.message
            self.get_logger().warning(f"the session refused: {why}", throttle_duration_sec=5.0)
            self._not_before = time.monotonic() + RETRY_S

    def close(self) -> None:
        self._control.close()


def main() -> None:
    stop = StopSignal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    status = 0
    try:
        node = OperatorNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop:
            executor.spin_once(timeout_sec=0.2)
        node.close()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
    except UserError as error:
        print(f"prophrl: error: {error}", file=sys.stderr, flush=True)
        status = 2
    rclpy.shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
