"""Subscriptions of the teleoperation devices that are topics: twist streams and the operator console."""

import time

from geometry_msgs.msg import Twist, TwistStamped
from prophrl_interfaces.msg import TeleopCommand
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from prophrl_cell.teleop.delay import Delay
from prophrl_cell.teleop.device_config import BASE, TOOL, DeviceConfig
from prophrl_cell.teleop.handover import LOST_S
from prophrl_cell.teleop.reading import Latest, Reading
from prophrl_cell.teleop.stream import DEADMAN, TwistStream, deflections

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)  # hears reliable publishers, too
FRAMES = {BASE: TeleopCommand.FRAME_BASE, TOOL: TeleopCommand.FRAME_TOOL}


def components(twist: Twist) -> tuple[float, ...]:
    """x, y, z, roll, pitch, yaw."""
    return (twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y, twist.angular.z)


class TwistTopic:
    """A TwistStamped topic with a Bool or Joy topic as its deadman."""

    def __init__(self, node: Node, config: DeviceConfig, latest: Latest):
        self._stream = TwistStream(config, latest)
        self._clock, self._twist_delay, self._joy_delay = node.get_clock(), Delay(), Delay()
        topics = config.stream
        self.subscriptions = [node.create_subscription(TwistStamped, topics.topic, self._twist, NEWEST)]
        if topics.deadman_topic:
            self.subscriptions.append(node.create_subscription(Bool, topics.deadman_topic, self._bool, NEWEST))
        else:
            self.subscriptions.append(node.create_subscription(Joy, topics.joy_topic, self._joy, NEWEST))

    def _twist(self, message: TwistStamped) -> None:
        age = self._age(message, self._twist_delay)
        self._stream.twist(components(message.twist), message.header.frame_id, time.monotonic(), age)

    def _bool(self, message: Bool) -> None:
        self._stream.held(frozenset({DEADMAN} if message.data else ()), time.monotonic())

    def _joy(self, message: Joy) -> None:
        down = frozenset(f"button_{number}" for number, value in enumerate(message.buttons) if value)
        self._stream.held(down, time.monotonic(), self._age(message, self._joy_delay))

    def _age(self, message: TwistStamped | Joy, delay: Delay) -> float:
        """s since the message was made, the clocks' offset aside; 0 of one without a stamp."""
        stamp_s = 1e-9 * Time.from_msg(message.header.stamp).nanoseconds
        return delay.of(stamp_s, 1e-9 * self._clock.now().nanoseconds) if stamp_s else 0.0

    def check(self) -> None:
        """Notice a stream that ended."""
        self._stream.check(time.monotonic())


class ConsoleTopic:
    """The jog of the operator console, a TeleopCommand in its own right; the console is on this host, by its clock."""

    def __init__(self, node: Node, config: DeviceConfig, latest: Latest):
        self._clock = node.get_clock()
        self._config, self._latest = config, latest
        self._silent = f"nothing heard on {config.stream.topic}; open the operator console in a browser"
        self._latest.lose(self._silent)
        subscription = node.create_subscription(TeleopCommand, config.stream.topic, self._heard, NEWEST)
        self.subscriptions = [subscription]

    def _heard(self, message: TeleopCommand) -> None:
        age_s = 1e-9 * (self._clock.now().nanoseconds - Time.from_msg(message.header.stamp).nanoseconds)
        self._latest.put(Reading(
            stamp=time.monotonic() - max(0.0, age_s),
            axes=deflections(self._config, components(message.twist)),
            held=frozenset({DEADMAN} if message.deadman else ()),
            frame=next((name for name, number in FRAMES.items() if number == message.frame), ""),
            openness=message.openness,
            freedrive=message.freedrive,
        ))  # fmt: skip

    def check(self) -> None:
        """Notice a console that ended."""
        reading = self._latest.reading
        if reading is not None and time.monotonic() - reading.stamp > LOST_S:
            self._latest.lose(self._silent)


open_stream = {"twist": TwistTopic, "console": ConsoleTopic}
