"""The jog of the console's pages on ``teleop/console``, from a thread of its own."""

import threading
import time

from prophrl_interfaces.msg import TeleopCommand
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from prophrl_cell.console.jog import Jog, JogCommand

PERIOD_S = 0.01
IDLE_PERIOD_S = 0.1
FAREWELLS = 3  # messages at full rate after the deadman was released
JOIN_S = 2.0
COMMANDS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class JogPublisher:
    """100 Hz while a page holds the deadman; 10 Hz, released, while one is open; silent otherwise.

    It asks the arbiter each time, so that a web server that stalls feeds it nothing and the jog runs out. A page that
    fell silent with the deadman held let nobody go: then this is silent, too, until a page says that it is up.
    """

    def __init__(self, node: Node, jog: Jog):
        self._node, self._jog = node, jog
        self._publisher = node.create_publisher(TeleopCommand, "teleop/console", COMMANDS)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop publishing."""
        self._running = False
        self._thread.join(JOIN_S)
        self._node.destroy_publisher(self._publisher)

    def _run(self) -> None:
        sequence, farewells = 0, 0
        while self._running:
            active = farewells > 0 or self._jog.wait_active(IDLE_PERIOD_S)
            if not active and not self._jog.connected:
                continue
            command = self._jog.command(time.monotonic())
            if command is None:
                farewells = 0
                continue
            farewells = FAREWELLS if command.deadman else max(0, farewells - 1)
            sequence += 1
            self._publisher.publish(self._message(command, sequence))
            if active:
                time.sleep(PERIOD_S)

    def _message(self, command: JogCommand, sequence: int) -> TeleopCommand:
        frame = TeleopCommand.FRAME_TOOL if command.tool_frame else TeleopCommand.FRAME_BASE
        message = TeleopCommand(
            device="console", sequence=sequence, deadman=command.deadman, frame=frame, openness=command.openness
        )
        message.header.stamp = (self._node.get_clock().now() - Duration(seconds=command.age_s)).to_msg()
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = command.twist
        return message
