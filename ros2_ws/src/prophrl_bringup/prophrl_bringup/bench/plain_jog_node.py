"""The usual way, for comparison: a ROS node that turns teleop commands into ur_rtde's ``speedL`` and ``speedStop``.

Its loop runs in a thread of the same process at 125 Hz and moves while the last command it heard has the deadman held.
"""

import argparse

import rtde_control
from prophrl_interfaces.msg import TeleopCommand
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from prophrl_bringup.bench.plain_loop import run

RATE_HZ, ACCELERATION = 125.0, 2.8  # m/s^2, what our own ramp takes


class PlainJogNode(Node):
    """``run`` is the loop; the executor spins in the main thread."""

    def __init__(self, ip: str):
        super().__init__("plain_jog_node")
        self.running, self._twist = True, None
        self._control = rtde_control.RTDEControlInterface(ip, RATE_HZ)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(TeleopCommand, "teleop/command", self._on_command, qos)

    def _on_command(self, message: TeleopCommand) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        twist = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]
        self._twist = twist if message.deadman else None

    def run(self) -> None:
        """Jog until ``running`` is cleared."""
        moving = False
        while self.running:
            tick = self._control.initPeriod()
            twist = self._twist
            if twist is not None:
                self._control.speedL(twist, ACCELERATION, 1.0 / RATE_HZ)
                moving = True
            elif moving:
                self._control.speedStop()
                moving = False
            self._control.waitPeriod(tick)
        self._control.speedStop()
        self._control.stopScript()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ip", required=True)
    arguments = parser.parse_args()
    run(lambda: PlainJogNode(arguments.ip), "jogging")


if __name__ == "__main__":
    main()
