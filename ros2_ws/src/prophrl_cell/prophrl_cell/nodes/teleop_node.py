"""Teleoperation devices in, ``teleop/command`` and ``episode/command`` out.

``ros2 run prophrl_cell teleop_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle \
-p devices:=[keyboard,twist]``

All devices are read at once; the first whose deadman is pressed has the arm until it lets go or is lost.
"""

import math
import sys
import time
from pathlib import Path

from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.task import load_task
from prophrl_interfaces.msg import ArmStatus, EpisodeCommand, EpisodeEvent, GripperState, TeleopCommand, TeleopStatus
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

from prophrl_cell.nodes.teleop_streams import FRAMES, open_stream
from prophrl_cell.teleop.device_config import DEVICES, STREAM_KINDS, DeviceConfig, load_device
from prophrl_cell.teleop.handover import DeadmanGate, Handover
from prophrl_cell.teleop.mapping import Mapper, Wish, faded
from prophrl_cell.teleop.open_devices import open_readers
from prophrl_cell.teleop.reading import NOT_YET, Latest

NICE = -10
PERIOD_S, STATUS_S = 0.01, 0.5
SAID_AFTER_RELEASE_S = 0.3  # deadman=false is repeated this long
STOPS_SENT = 3
STAND_STILL = Wish(True, "base", (0.0,) * 6, math.nan, False)  # what a lost device leaves behind
WORDS = {name: getattr(EpisodeCommand, name.upper()) for name in ("start", "stop", "success", "failure", "discard")}
COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
WORD_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Device:
    """A configured device: where its readings come from, what they mean, whether its deadman counts."""

    def __init__(self, name: str, config: DeviceConfig):
        self.name, self.config = name, config
        self.latest, self.mapper, self.gate = Latest(), Mapper(config), DeadmanGate(config.timeout)
        self.wish: Wish | None = None
        self.taken = -math.inf  # monotonic s of what the wish says
        self.lost = True  # not connected, or silent

    def look(self, now: float) -> bool | None:
        """Take the newest reading; whether its deadman is held, None in a short silence."""
        reading = self.latest.reading
        self.wish = None if reading is None else self.mapper.wish(reading)
        self.taken = -math.inf if reading is None else reading.stamp
        age = now - self.taken
        self.lost = reading is None or age > self.config.timeout
        if reading is not None:
            self.wish = faded(self.wish, age, self.config.timeout)
        return self.gate.step(None if reading is None else self.wish.deadman, age)


class TeleopNode(ProcessNode):
    """Never waits for a device: readers and subscriptions leave their newest word, a timer looks at them."""

    def __init__(self):
        super().__init__("teleop_node")
        self.declare_parameter("task_file", "")
        self.declare_parameter("devices", list(DEVICES))
        self.declare_parameter("operator", "")
        self._entities: list = []
        self._readers: list = []

    def setup(self) -> None:
        load_cell(self.text_parameter("cell_file"))
        load_task(self.text_parameter("task_file"))
        names = self.get_parameter("devices").value
        if not names or len(set(names)) != len(names):
            known = ", ".join(DEVICES)
            raise UserError(f"teleop_node: expected different devices, got {list(names or ())}; known: {known}")
        self._devices = {}
        for name in names:
            device = Device(Path(name).stem, load_device(name))
            self._devices[device.name] = device
        self.hurry(NICE)  # a released deadman passes through here

    def begin(self) -> None:
        self._handover, self._sequence = Handover(), 0
        self._released: Device | None = None  # the last that had the arm
        self._released_at = -math.inf
        self._openness = math.nan  # asked for by the device in use
        self._gripper, self._arm_obeys, self._episode_id = math.nan, False, ""
        self._status_at, self._status_key, self._lines = -math.inf, None, {}
        self._command = self.create_publisher(TeleopCommand, "teleop/command", COMMAND_QOS)
        self._status = self.create_publisher(TeleopStatus, "teleop/status", LATEST)
        self._words = self.create_publisher(EpisodeCommand, "episode/command", WORD_QOS)
        subscribe = self.create_subscription
        subscriptions = [
            subscribe(ArmStatus, "arm/status", self._arm_heard, LATEST),
            subscribe(GripperState, "gripper/state", self._gripper_heard, qos_profile_sensor_data),
            subscribe(EpisodeEvent, "episode/event", self._event_heard, EVENTS),
        ]
        streams = [d for d in self._devices.values() if d.config.kind in STREAM_KINDS]
        self._streams = [open_stream[device.config.kind](self, device.config, device.latest) for device in streams]
        subscriptions += [subscription for stream in self._streams for subscription in stream.subscriptions]
        self._readers = open_readers([(d.config, d.latest) for d in self._devices.values() if d not in streams])
        self._entities = [(self.destroy_subscription, subscription) for subscription in subscriptions]
        self._entities += [
            (self.destroy_publisher, publisher) for publisher in (self._command, self._status, self._words)
        ]
        self._entities.append((self.destroy_timer, self.create_timer(PERIOD_S, self._tick)))

    def end(self) -> None:
        if self._entities and self._handover.active:
            self._released = self._devices[self._handover.active]
            self._stop_and_keep_the_arm()
        for reader in self._readers:
            reader.close()
        self._readers = []
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities = []

    def _arm_heard(self, status: ArmStatus) -> None:
        self._arm_obeys = status.control == ArmStatus.CONTROL_TELEOP

    def _gripper_heard(self, state: GripperState) -> None:
        self._gripper = state.commanded

    def _event_heard(self, event: EpisodeEvent) -> None:
        running = event.event in (EpisodeEvent.STARTED, EpisodeEvent.LABEL_REQUESTED)
        self._episode_id = event.episode_id if running else ""

    def _tick(self) -> None:
        now = time.monotonic()
        for stream in self._streams:
            stream.check()
        before = self._handover.active
        held = {name: device.look(now) for name, device in self._devices.items()}
        active = self._handover.step(held)
        if active != before:
            self._openness = math.nan
            self._released, self._released_at = self._devices.get(before), now
            if not active and self._released.lost:
                self._stop_and_keep_the_arm()
        for device in self._devices.values():
            self._carry_out(device, device.name == active)
        if active:
            device = self._devices[active]
            self._say(device, device.wish, True, now - device.taken)
        elif self._released is not None and now - self._released_at < SAID_AFTER_RELEASE_S:
            self._say(self._released, None, False)
        self._report(now)

    def _stop_and_keep_the_arm(self) -> None:
        """A lost device let nobody go: the arm stands still, then rests in silence, and no policy takes over."""
        for _ in range(STOPS_SENT):
            self._say(self._released, STAND_STILL, True)
        self._released = None

    def _carry_out(self, device: Device, has_arm: bool) -> None:
        """Buttons that were pressed: words to the session from any device, the gripper from the one with the arm."""
        for action in device.mapper.actions(device.latest.take_presses()):
            if action in WORDS:
                message = EpisodeCommand(
                    command=WORDS[action], operator_name=self.get_parameter("operator").value,
                    episode_id="" if action == "start" else self._episode_id,
                )  # fmt: skip
                message.header.stamp = self.get_clock().now().to_msg()
                self._words.publish(message)
                self.get_logger().info(f"{device.name}: {action}")
            elif has_arm and action.startswith("gripper_"):
                self._openness = {"gripper_open": 1.0, "gripper_close": 0.0}.get(action, self._other_openness())

    def _other_openness(self) -> float:
        """Closed when open, open when closed."""
        now = self._gripper if math.isnan(self._openness) else self._openness
        return 1.0 if now < 0.5 else 0.0

    def _say(self, device: Device, wish: Wish | None, deadman: bool, age_s: float = 0.0) -> None:
        """Publish what a device asked for ``age_s`` ago."""
        self._sequence += 1
        message = TeleopCommand(device=device.name, sequence=self._sequence, deadman=deadman, openness=math.nan)
        message.header.stamp = (self.get_clock().now() - Duration(seconds=max(0.0, age_s))).to_msg()
        if wish is not None:
            message.frame, message.freedrive = FRAMES[wish.frame], wish.freedrive
            linear, angular = message.twist.linear, message.twist.angular
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = wish.twist
            message.openness = wish.openness if math.isnan(self._openness) else self._openness
        self._command.publish(message)

    def _report(self, now: float) -> None:
        active = self._handover.active
        shown = self._devices[active] if active else next(
            (d for d in self._devices.values() if d.latest.reading is not None), next(iter(self._devices.values()))
        )
        reasons = {name: device.latest.reason for name, device in self._devices.items()}
        key = (active, self._arm_obeys, shown.mapper.linear_speed, tuple(reasons.values()))
        if key == self._status_key and now - self._status_at < STATUS_S:
            return
        self._status_at, self._status_key = now, key
        self._log(reasons)
        status = TeleopStatus(
            device=active, deadman=bool(active), in_control=bool(active) and self._arm_obeys,
            linear_speed=shown.mapper.linear_speed, angular_speed=shown.mapper.angular_speed,
            devices=list(reasons), connected=[not line for line in reasons.values()], reasons=list(reasons.values()),
        )  # fmt: skip
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)

    def _log(self, reasons: dict[str, str]) -> None:
        for name, line in reasons.items():
            if line not in (self._lines.get(name), NOT_YET):
                self._lines[name] = line
                if line:
                    self.get_logger().warning(f"{name}: {line}")
                else:
                    self.get_logger().info(f"{name}: connected")


def main() -> None:
    sys.exit(run(TeleopNode))


if __name__ == "__main__":
    main()
