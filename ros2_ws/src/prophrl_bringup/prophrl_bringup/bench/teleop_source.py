"""A teleoperation device that holds its deadman and asks for one twist at 100 Hz, until it is killed."""

import argparse
import math

import rclpy
from prophrl_interfaces.msg import TeleopCommand
from rclpy.qos import QoSProfile, ReliabilityPolicy

PERIOD_S = 0.01


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("twist", type=float, nargs=6, help="m/s and rad/s in base")
    twist = parser.parse_args().twist
    rclpy.init()
    node = rclpy.create_node("teleop_source")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(TeleopCommand, "teleop/command", qos)
    message = TeleopCommand(device="teleop_source", deadman=True, openness=math.nan)
    linear, angular = message.twist.linear, message.twist.angular
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = twist

    def publish() -> None:
        message.header.stamp = node.get_clock().now().to_msg()
        message.sequence += 1
        publisher.publish(message)

    node.create_timer(PERIOD_S, publish)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
