"""What teleop_node makes of its devices' words, with time in the test's hands: no topics, no threads."""

import math

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from prophrl_cell.arm.control import Arbiter
from prophrl_cell.console.jog import Heartbeat, Jog, JogCommand, JogLimits
from prophrl_cell.nodes import teleop_node, teleop_streams
from prophrl_cell.nodes.console_jog import JogPublisher
from prophrl_cell.nodes.teleop_node import STOPS_SENT, Device, TeleopNode
from prophrl_cell.teleop.device_config import load_device
from prophrl_cell.teleop.handover import Handover
from prophrl_interfaces.msg import TeleopCommand
from rclpy.time import Time
from std_msgs.msg import Bool

WALL_S = 1.7e9  # our wall clock minus our monotonic one


class Hours:
    """The clocks of the nodes: monotonic seconds, and a wall clock of the same host."""

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def get_clock(self):
        return self

    def now(self):
        return Time(nanoseconds=round((self.now_s + WALL_S) * 1e9))


class Silent:
    """A publisher or subscription of nothing."""

    def publish(self, message): ...


class Node(TeleopNode):
    """The real ticks; what is said is kept in ``said`` with its time, and heard by an arm's arbiter."""

    def __init__(self, hours: Hours, *names: str):
        self._hours = hours
        self._devices = {name: Device(name, load_device(name)) for name in names}
        self._handover, self._sequence, self._streams = Handover(), 0, []
        self._released, self._released_at, self._openness, self._gripper = None, -math.inf, math.nan, math.nan
        self._arm_obeys, self._status_at, self._status_key, self._lines = False, -math.inf, None, {}
        self._command, self._status = self, Silent()
        self.said: list[tuple[float, TeleopCommand]] = []
        self.arm = Arbiter(0.06)

    def get_clock(self):
        return self._hours

    def get_logger(self):
        return self

    def info(self, line): ...

    def warning(self, line): ...

    def publish(self, message: TeleopCommand) -> None:
        self.said.append((self._hours.now_s, message))
        self.arm.hear(message.deadman, True, self._hours.now_s)

    def tick(self) -> None:
        self._tick()
        self.arm.decide(self._hours.now_s, True, resting=True)


@pytest.fixture
def hours(monkeypatch):
    hours = Hours()
    for module in (teleop_node, teleop_streams):
        monkeypatch.setattr(module.time, "monotonic", hours.monotonic)
    return hours


class Console:
    """A page, the console's arbiter and publisher, and teleop_node's ear for it."""

    def __init__(self, hours: Hours):
        self._hours = hours
        self.jog = Jog(JogLimits())
        self.jog.connect("page")
        self.node = Node(hours, "console")
        device = self.node._devices["console"]
        self._topic = teleop_streams.ConsoleTopic(self, device.config, device.latest)
        self.node._streams = [self._topic]
        self._publisher = JogPublisher.__new__(JogPublisher)
        self._publisher._node = hours

    def create_subscription(self, *_):
        return Silent()

    def get_clock(self):
        return self._hours

    def go(self, seconds: float, deadman: bool | None) -> None:
        """Every 10 ms the publisher asks the arbiter, and the node ticks; ``deadman`` None: the page is frozen."""
        for _ in range(round(seconds / 0.01)):
            self._hours.now_s += 0.01
            now = self._hours.now_s
            if deadman is not None:
                self.jog.heartbeat("page", Heartbeat(now, deadman, (1.0, 0, 0, 0, 0, 0), 1.0, False, 0), now, True)
            command = self.jog.command(now)
            if command is not None:
                self._topic._heard(self._publisher._message(command, 0))
            self.node.tick()


@pytest.mark.parametrize("away", ["frozen", "gone"])
def test_a_page_that_is_lost_with_the_deadman_held_leaves_the_arm_to_no_policy(hours, away):
    console = Console(hours)
    console.go(0.1, False)
    console.go(0.3, True)
    arm = console.node.arm
    assert arm.teleop and console.node.said[-1][1].twist.linear.x > 0
    if away == "gone":
        console.jog.disconnect("page")
    lost = hours.now_s
    console.go(0.1, None)
    assert max(at for at, message in console.node.said if message.twist.linear.x) <= lost + 0.07
    assert arm.refuses(hours.now_s), "silence alone gives nothing back"
    assert np.all([message.deadman for _, message in console.node.said])
    assert console.node.said[-1][1].twist.linear.x == 0.0
    console.go(2.0, None)
    assert arm.refuses(hours.now_s)
    if away == "gone":
        console.jog.connect("page")
    for deadman, keeps in ((True, True), (False, True), (True, True), (False, False)):
        console.go(0.2, deadman)
        assert arm.refuses(hours.now_s) is keeps, "given back by a press and a release that were seen"


def test_a_release_that_is_said_gives_the_arm_back(hours):
    console = Console(hours)
    console.go(0.1, False)
    console.go(0.3, True)
    console.go(0.02, False)
    assert not console.node.arm.refuses(hours.now_s)


def twist_stream(hours):
    """A node with the device ``twist``, and what takes a twist and a held deadman made ``ago`` s before."""
    node = Node(hours, "twist")
    device, listener = node._devices["twist"], Console(hours)
    topic = teleop_streams.TwistTopic(listener, device.config, device.latest)
    node._streams = [topic]

    def publish(ago, held=True):
        message = TwistStamped()
        message.header.stamp = Time(nanoseconds=round((hours.now_s - 3.0 - ago + WALL_S) * 1e9)).to_msg()
        message.twist.linear.x = 0.1
        topic._twist(message)
        topic._bool(Bool(data=held))
        node.tick()
        hours.now_s += 0.01

    return node, publish


def test_a_stream_of_old_twists_moves_nothing(hours):
    node, publish = twist_stream(hours)
    publish(0.0, False)
    for _ in range(10):
        publish(0.001)
    assert node.said[-1][1].twist.linear.x == pytest.approx(0.1)
    node.said.clear()
    for _ in range(20):
        publish(1.0)
    assert not any(message.twist.linear.x for _, message in node.said)
    assert node.arm.refuses(hours.now_s) and "1.00 s later than they did" in node._devices["twist"].latest.reason


def test_a_command_is_stamped_with_when_its_device_was_read(hours):
    console = Console(hours)
    console.go(0.1, False)
    console.go(0.1, True)
    read = hours.now_s + WALL_S
    console.go(0.03, None)
    moving = [message for _, message in console.node.said if message.twist.linear.x]
    assert 1e-9 * Time.from_msg(moving[-1].header.stamp).nanoseconds == pytest.approx(read, abs=1e-4)
    console.go(0.1, None)
    stopped = console.node.said[-1]
    assert 1e-9 * Time.from_msg(stopped[1].header.stamp).nanoseconds == pytest.approx(stopped[0] + WALL_S, abs=1e-4)


def test_a_console_that_is_heard_late_is_lost(hours):
    console = Console(hours)
    console.go(0.1, False)
    console.go(0.1, True)
    stale = console._publisher._message(JogCommand(True, twist=(0.1,) + (0.0,) * 5, age_s=1.0), 0)
    console.node.said.clear()
    for _ in range(5):
        hours.now_s += 0.01
        console._topic._heard(stale)
        console.node.tick()
    assert [message.twist.linear.x for _, message in console.node.said] == [0.0] * STOPS_SENT
    assert "nothing heard on teleop/console" in console.node._devices["console"].latest.reason
