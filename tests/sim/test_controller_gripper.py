"""The gripper's two faces: Robotiq's socket and the tool's digital outputs."""

import select
import socket
import time

import pytest
from emulated_cell import EmulatedCell
from hypothesis import given
from hypothesis import strategies as st
from prophrl_sim.controller.robotiq_socket import ACTIVATION_SECONDS, RobotiqSocket


class FakePlant:
    gripper_opening, object_detected, gripper_speed, gripper_force = 1.0, False, 0.1, 50.0


class FakeArm:
    def __init__(self):
        self.plant, self.gripper_target = FakePlant(), 1.0


def gripper() -> RobotiqSocket:
    return RobotiqSocket(select.epoll(), "127.0.0.1", 63352, FakeArm())


def activated() -> RobotiqSocket:
    g = gripper()
    assert g.answer("SET ACT 1") == "ack" and g.answer("GET STA") == "STA 1"
    for _ in range(round(ACTIVATION_SECONDS / 0.002) + 1):
        g.tick()
    assert g.answer("GET STA") == "STA 3"
    return g


def test_it_moves_only_once_activated():
    g = gripper()
    assert g.answer("SET GTO 1 POS 255") == "ack"
    assert g.arm.gripper_target == 1.0 and g.answer("GET FLT") == "FLT 7"
    g = activated()
    assert g.answer("SET POS 255 GTO 1") == "ack"
    assert g.arm.gripper_target == 0.0 and g.answer("GET PRE") == "PRE 255" and g.answer("GET OBJ") == "OBJ 0"
    g.arm.plant.gripper_opening = 0.0
    assert g.answer("GET POS") == "POS 255" and g.answer("GET OBJ") == "OBJ 3"


def test_objects_are_told_apart_from_targets():
    g = activated()
    g.answer("SET GTO 1 POS 255")
    g.arm.plant.gripper_opening, g.arm.plant.object_detected = 0.5, True
    assert g.answer("GET OBJ") == "OBJ 2"
    g.answer("SET POS 0")
    assert g.answer("GET OBJ") == "OBJ 1"


def test_speed_and_force_reach_the_plant():
    g = activated()
    g.answer("SET SPE 0 FOR 0")
    slow = g.arm.plant.gripper_speed, g.arm.plant.gripper_force
    g.answer("SET SPE 255 FOR 255")
    assert g.arm.plant.gripper_speed > slow[0] and g.arm.plant.gripper_force > slow[1]


@given(st.text(max_size=80))
def test_any_line_gets_one_line_back(text):
    answer = activated().answer(text)
    assert answer and "\n" not in answer


@pytest.mark.parametrize("line", ["SET POS 256", "SET POS -1", "SET POS nan", "SET FOO 1", "GET", "SET POS", "HELLO"])
def test_what_it_does_not_understand(line):
    g = activated()
    assert g.answer(line) == "?" and g.arm.gripper_target == 1.0


def ask(sock: socket.socket, line: str) -> str:
    sock.sendall(line.encode() + b"\n")
    return sock.recv(100).decode().strip()


def wait(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_the_socket_moves_the_fingers(process, loopback_ip, tmp_path):
    cell = EmulatedCell(process, loopback_ip, tmp_path)
    with socket.create_connection((cell.ip, 63352)) as sock:
        assert ask(sock, "SET ACT 1") == "ack" and wait(lambda: ask(sock, "GET STA") == "STA 3")
        assert ask(sock, "SET GTO 1 POS 255 SPE 255 FOR 100") == "ack"
        assert wait(lambda: cell.state()["gripper_opening"] < 0.02) and wait(lambda: ask(sock, "GET OBJ") == "OBJ 3")
        ask(sock, "SET POS 0")
        assert wait(lambda: cell.state()["gripper_opening"] > 0.98) and wait(lambda: ask(sock, "GET POS") == "POS 0")


def test_tool_outputs_move_the_fingers(process, loopback_ip, tmp_path):
    cell = EmulatedCell(process, loopback_ip, tmp_path, gripper={"driver": "tool_output", "open_output": 1, "close_output": 0})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((cell.ip, 63352), 1.0)
    out = "io.setToolDigitalOut({off}, False); io.setToolDigitalOut({on}, True)\ntime.sleep(0.1)\ndone(ok=True)"
    cell.run("io = rtde_io.RTDEIOInterface(IP)\n" + out.format(off=1, on=0))
    assert wait(lambda: cell.state()["gripper_opening"] < 0.02)
    cell.run("io = rtde_io.RTDEIOInterface(IP)\n" + out.format(off=0, on=1))
    assert wait(lambda: cell.state()["gripper_opening"] > 0.98)
