"""Every teleoperation device at its real interface moves the simulated arm: the right way, at the right scale, only
while its deadman is held; and losing the device stops the arm."""

import contextlib
import json
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Twist, TwistStamped
from prophrl_bringup.bench.arm_rig import ArmRig
from prophrl_core.errors import UserError
from prophrl_core.stamps import seconds_of
from prophrl_interfaces.msg import ArmStatus, EpisodeCommand, TeleopCommand, TeleopStatus
from std_msgs.msg import Bool

pytest.importorskip("pygame")

TESTS = str(Path(__file__).parents[1])
LIMITS_S = 0.1, 0.15  # until rest of the commanded reference, of the true joints
TRIES = 3  # a starved machine may spoil one
ALWAYS_S = 0.4  # that no try may exceed: the arm's own timeout stops it when a release is late
ZERO = "01000000000000", "02000000000000"


class Hands:
    """The far side of the devices: orders to ``teleop_hands`` in teleop_node's process, and topics of our own."""

    def __init__(self, rig: ArmRig, folder):
        self.rig, self.client = rig, rig.client
        self._path, self._far = str(folder / "near"), str(folder / "far")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._socket.settimeout(10.0)
        path = os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")])
        rig.variables |= {"SDL_VIDEODRIVER": "dummy", "PYTHONPATH": path}
        parameters = {"cell_file": rig.cell_file, "task_file": "grasp_bottle", "operator": "ada"}
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        self.node = rig.start("system.teleop_hands", self._far, "--ros-args", *words)
        make, hear = self.client.node.create_publisher, self.client.node.create_subscription
        self._twists, self._deadman = make(TwistStamped, "teleop/twist", 1), make(Bool, "teleop/deadman", 1)
        self.status, self.commands, self.words = TeleopStatus(), [], []
        hear(TeleopStatus, "teleop/status", lambda message: setattr(self, "status", message), 1)
        hear(TeleopCommand, "teleop/command", self.commands.append, 10)
        hear(EpisodeCommand, "episode/command", self.words.append, 10)
        self.twist: tuple | None = None
        self.held = self.pad_attached = False
        self.client.node.create_timer(0.01, self._publish)
        self.client.until(lambda: self.status.devices, "teleop_node's status")

    def order(self, hand: str, **content) -> None:
        self._socket.sendto(json.dumps({"hand": hand, **content}).encode(), self._far)
        answer = self._socket.recv(4096).decode()
        assert answer == "ok", answer

    def _publish(self) -> None:
        if self.twist is None:
            return
        message = TwistStamped()
        message.header.frame_id = "base"
        message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = self.twist
        self._twists.publish(message)
        self._deadman.publish(Bool(data=self.held))

    def connected(self, device: str) -> bool:
        status = self.status
        return device in status.devices and status.connected[list(status.devices).index(device)]

    def close(self) -> None:
        self._socket.close()


class SpaceMouse:
    """Reports as a SpaceMouse Compact sends them: pushed 0.6 of the way to the left, left button."""

    name, moves = "spacemouse", (0.0, 0.0603, 0.0)  # (0.6 - 0.1) / 0.9, expo 0.4, 0.15 m/s

    def __init__(self, hands):
        self._order = hands.order

    def come(self):
        self._order("plug", **{"in": True})

    def deflect(self):
        self._order("reports", hex=["012eff00000000", "02000000000000"])

    def deadman(self, held):
        self._order("reports", hex=["030100" if held else "030000"])

    def lose(self):
        self._order("plug", **{"in": False})

    def rest(self):
        self._order("reports", hex=ZERO)


class Gamepad:
    """Left stick away from the person, left shoulder; the slowest of three speeds."""

    name, moves = "gamepad", (0.0375, 0.0, 0.0)

    def __init__(self, hands):
        self._order, self._hands = hands.order, hands

    def come(self):
        if not self._hands.pad_attached:
            self._order("attach")
            self._hands.pad_attached = True
            self._hands.client.until(lambda: self._hands.connected(self.name), "the pad", 5.0)
        for _ in range(4):  # slower than the slowest there is not
            self._press(12)

    def _press(self, button):
        for down in (1, 0):
            self._order("pad", axes={}, buttons={button: down})
            time.sleep(0.05)

    def deflect(self):
        self._order("pad", axes={1: -32768}, buttons={})

    def deadman(self, held):
        self._order("pad", axes={}, buttons={9: int(held)})

    def lose(self):
        self._order("detach")
        self._hands.pad_attached = False

    def rest(self):
        self._order("pad", axes={1: 0}, buttons={})


class Keyboard:
    """D to the right, the space bar; the second of three speeds. It is lost when its window loses the keys."""

    name, moves = "keyboard", (0.0, -0.03, 0.0)

    def __init__(self, hands):
        self._order = hands.order

    def _key(self, name, down):
        self._order("key", name=name, down=down)

    def come(self):
        for name in ("2", "2", "1"):
            self._key(name, True)
            self._key(name, False)

    def deflect(self):
        self._key("d", True)

    def deadman(self, held):
        self._key("space", held)

    def lose(self):
        self._order("focus")

    def rest(self):
        self._key("d", False)


class TwistTopic:
    """A publisher of TwistStamped in m/s beside a Bool."""

    name, moves = "twist", (0.03, -0.02, 0.03)

    def __init__(self, hands):
        self._hands = hands

    def come(self):
        self.rest()

    def deflect(self):
        self._hands.twist = self.moves

    def deadman(self, held):
        self._hands.held = held

    def lose(self):
        self._hands.twist = None

    def rest(self):
        self._hands.twist = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def hands(shared_arm_rig, tmp_path_factory):
    hands = Hands(shared_arm_rig, tmp_path_factory.mktemp("hands"))
    yield hands
    hands.close()


def reference(client, since):
    """Stamps (N,) and positions (N, 3) of the commanded TCP after ``since`` (wall s)."""
    t = np.array([seconds_of(m.header.stamp) for m in client.targets])
    p = np.array([(m.tcp.position.x, m.tcp.position.y, m.tcp.position.z) for m in client.targets]).reshape(-1, 3)
    return t[t > since], p[t > since]


def velocity(client, seconds=0.4):
    """Mean velocity (3,) of the commanded TCP over the next while, by its own stamps, which may come late."""
    since = time.time()
    client.targets.clear()

    def covered():
        t, _ = reference(client, since)
        return len(t) > 1 and t[-1] - t[0] >= 0.9 * seconds

    client.until(covered, "the reference's motion", 10.0)
    t, p = reference(client, since)
    return (p[-1] - p[0]) / (t[-1] - t[0])


def in_time(stop):
    return all(took < limit for took, limit in zip(stop, LIMITS_S, strict=True))


def stops(hands, end):
    """Carry out ``end``; s until the commanded reference rests, s until the true joints rest."""
    hands.client.targets.clear()
    wall, now = time.time(), time.monotonic()
    end()
    true = hands.rig.stop_time(now)
    t, p = reference(hands.client, wall)
    at_rest = np.linalg.norm(p - p[-1], axis=1) < 1e-6
    first = len(t) - np.argmin(at_rest[::-1]) if not at_rest.all() else 0
    return t[first] - wall, true


@pytest.fixture(params=[SpaceMouse, Gamepad, Keyboard, TwistTopic], ids=lambda kind: kind.name)
def device(request, hands):
    """A connected device, at rest; let go of in the end, whatever happened."""
    device = request.param(hands)
    connect(hands, device)
    yield device
    for let_go in (lambda: device.deadman(False), device.rest):
        with contextlib.suppress(AssertionError):  # the device may be gone
            let_go()
    hands.twist = None
    hands.client.spin(0.1)


def connect(hands, device):
    device.come()
    hands.client.until(lambda: hands.connected(device.name), f"{device.name} connected", 5.0)


def press_anew(hands, device):
    """Let go, press, deflect; until the arm moves."""
    for _ in range(TRIES):  # a release too short to be seen is no release
        device.deadman(False)
        device.rest()
        hands.client.spin(0.2)
        device.deadman(True)
        device.deflect()
        with contextlib.suppress(UserError):
            hands.client.until(lambda: hands.status.in_control and hands.status.device == device.name, "control", 3.0)
            break
    else:
        pytest.fail(f"{device.name} was pressed {TRIES} times and never had the arm")
    hands.client.until(lambda: np.linalg.norm(velocity(hands.client, 0.1)) > 0.02, "motion", 5.0)
    hands.client.spin(0.1)


def test_moves_the_right_way_at_the_right_scale_while_the_deadman_is_held(hands, device):
    client = hands.client
    device.deadman(False)
    device.deflect()
    client.spin(0.1)
    assert np.allclose(velocity(client), 0.0, atol=1e-4), "nothing moves without the deadman"
    seen = []
    for _ in range(TRIES):
        press_anew(hands, device)
        seen.append((velocity(client), stops(hands, lambda: device.deadman(False))))
        assert max(seen[-1][1]) < ALWAYS_S
        if seen[-1][0] == pytest.approx(device.moves, abs=0.003) and in_time(seen[-1][1]):
            return
    pytest.fail(f"expected {device.moves} m/s and rest within {LIMITS_S} s of the release, got {seen}")


def test_a_lost_device_stops_the_arm_and_has_to_be_pressed_anew(hands, device, record_property):
    client, lost = hands.client, []
    for _ in range(TRIES):
        press_anew(hands, device)
        lost.append(stops(hands, device.lose))
        record_property("rest_s", "commanded {:.3f}, true {:.3f}".format(*lost[-1]))
        assert max(lost[-1]) < ALWAYS_S
        last = hands.commands[-1]
        assert last.device == device.name and (not last.deadman or last.twist == Twist())
        if device.name != "keyboard":  # it is still there, only its window lost it
            assert client.status.control == ArmStatus.CONTROL_TELEOP, "no policy takes over from a device that was lost"
            client.until(lambda: not hands.connected(device.name), f"{device.name} named as lost", 2.0)
            assert hands.status.reasons[list(hands.status.devices).index(device.name)]
        connect(hands, device)
        device.deadman(True)
        device.deflect()
        client.spin(0.1)
        if device.name != "gamepad":  # a new pad starts released, so that press is a new one
            assert np.allclose(velocity(client, 0.3), 0.0, atol=1e-4), "a deadman held across a loss moves nothing"
        press_anew(hands, device)
        if in_time(lost[-1]):
            return
    pytest.fail(f"expected rest within {LIMITS_S} s of the loss, got {lost}")


def test_the_first_has_the_arm_its_buttons_work_the_gripper_and_anyones_words_reach_the_session(hands):
    client = hands.client
    client.gripper.clear()
    hands.words.clear()

    def press(name):
        hands.order("key", name=name, down=True)
        client.spin(0.1)
        hands.order("key", name=name, down=False)

    hands.twist, hands.held = (0.0, 0.0, 0.02), False
    client.spin(0.2)
    hands.order("key", name="space", down=True)
    client.until(lambda: hands.status.device == "keyboard", "the keyboard in control", 2.0)
    hands.held = True
    press("g")
    client.until(lambda: client.gripper and client.gripper[-1].openness == 0.0, "a closing gripper", 2.0)
    assert np.allclose(velocity(client), 0.0, atol=1e-4), "the second device has to wait"
    hands.order("key", name="space", down=False)
    client.until(lambda: hands.status.device == "", "the arm released", 2.0)
    assert np.allclose(velocity(client), 0.0, atol=1e-4), "and to press anew"
    hands.held = False
    client.spin(0.1)
    hands.held = True
    client.until(lambda: hands.status.device == "twist", "the twist in control", 2.0)
    hands.held = False
    for name in ("return", "f2", "delete"):
        press(name)
    client.until(lambda: len(hands.words) == 3, "three words", 2.0)
    expected = [EpisodeCommand.START, EpisodeCommand.FAILURE, EpisodeCommand.DISCARD]
    assert [word.command for word in hands.words] == expected
    assert {word.operator_name for word in hands.words} == {"ada"}
