"""The gripper's ROS face: ``gripper/command`` in, ``gripper/state`` out.

``ros2 run prophrl_cell gripper_node --ros-args -p cell_file:=sim``
"""

import sys
import time

from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_interfaces.msg import GripperCommand, GripperState
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

from prophrl_cell.gripper.driver import GripperDriver, GripperReading, connect

_PERIOD_S = 0.05
_RETRY_S = 1.0
_COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


class GripperNode(ProcessNode):
    """Reads at 20 Hz; a lost link is taken up again by itself, and the last command is then repeated."""

    def __init__(self):
        super().__init__("gripper_node")
        self._driver: GripperDriver | None = None
        self._entities: list = []
        self._reason = ""

    def setup(self) -> None:
        self._cell = load_cell(self.text_parameter("cell_file"))
        try:
            self._driver = connect(self._cell.robot, self._cell.gripper)
            self._driver.activate()
        except OSError as error:
            raise UserError(
                f"gripper at {self._cell.robot.ip}: {error}; check that it is powered, that its software runs on the "
                "controller, and gripper.driver in the cell"
            ) from None

    def begin(self) -> None:
        self._command: GripperCommand | None = None
        self._sent: tuple | None = None
        self._retry_at = 0.0
        self._states = self.create_publisher(GripperState, "gripper/state", qos_profile_sensor_data)
        self._entities = [
            (self.destroy_subscription,
             self.create_subscription(GripperCommand, "gripper/command", self._on_command, _COMMAND_QOS)),
            (self.destroy_timer, self.create_timer(_PERIOD_S, self._tick)),
        ]  # fmt: skip

    def end(self) -> None:
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities = []

    def teardown(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def _on_command(self, message: GripperCommand) -> None:
        self._command = message
        self._guarded(self._send)

    def _send(self) -> None:
        message = self._command
        wanted = (message.openness, message.speed, message.force)
        if wanted != self._sent:
            self._driver.command(*wanted)
            self._sent = wanted

    def _tick(self) -> None:
        reading = None
        if self._driver is None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + _RETRY_S
            self._guarded(self._reconnect)
        if self._driver is not None:
            reading = self._guarded(self._driver.read)
        self._publish(reading)

    def _reconnect(self) -> None:
        driver = connect(self._cell.robot, self._cell.gripper)
        try:
            driver.activate()
        except OSError:
            driver.close()
            raise
        self._driver, self._sent, self._reason = driver, None, ""
        self.get_logger().info("gripper: connected again")
        if self._command is not None:
            self._send()

    def _guarded(self, action) -> GripperReading | None:
        """Run something that talks to the gripper; a failure drops the link and is logged once."""
        if self._driver is None and action != self._reconnect:
            return None
        try:
            return action()
        except OSError as error:
            if not self._reason:
                self.get_logger().error(f"gripper: {error}; trying again")
            self._reason = str(error)
            self.teardown()
            return None

    def _publish(self, reading: GripperReading | None) -> None:
        state = GripperState(connected=reading is not None)
        state.header.stamp = self.get_clock().now().to_msg()
        state.commanded = self._sent[0] if self._sent else float("nan")
        if reading is None:
            state.openness, state.reason = float("nan"), self._reason or "not connected"
        else:
            state.activated, state.openness, state.moving = reading.activated, reading.openness, reading.moving
            state.object_detected, state.fault, state.reason = reading.object_detected, reading.fault, reading.reason
        self._states.publish(state)


def main() -> None:
    sys.exit(run(GripperNode))


if __name__ == "__main__":
    main()
