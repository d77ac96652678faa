"""gripper_node against the emulated Robotiq socket and the emulated tool outputs."""

import sys

import pytest
from prophrl_interfaces.msg import GripperCommand, GripperState
from rclpy.qos import qos_profile_sensor_data
from system.arm_cell import ControlPort, Operator, start_simulator, write_cell


def start(process, cell_file):
    return process([sys.executable, "-m", "prophrl_cell.nodes.gripper_node", "--ros-args", "-p", f"cell_file:={cell_file}"])


@pytest.fixture
def operator(ros_domain):
    operator = Operator(ros_domain)
    operator.states = []
    operator.node.create_subscription(GripperState, "gripper/state", operator.states.append, qos_profile_sensor_data)
    operator.command = operator.node.create_publisher(GripperCommand, "gripper/command", 1)
    yield operator
    operator.close()


def go(operator, openness):
    """Command as arm_node does: again and again, so that a late subscriber hears it."""

    def taken():
        operator.command.publish(GripperCommand(openness=openness, speed=1.0, force=0.4))
        operator.spin(0.1)
        return operator.states and operator.states[-1].commanded == openness

    operator.until(taken, what="the command")


@pytest.mark.parametrize("driver", ["robotiq_socket", "tool_output"])
def test_closes_and_opens_and_says_so(process, tmp_path, operator, loopback_ip, driver):
    cell_file = write_cell(tmp_path, loopback_ip, gripper__driver=driver)
    start_simulator(process, cell_file)
    control = ControlPort(loopback_ip)
    node = start(process, cell_file)
    for openness in (0.0, 1.0):
        go(operator, openness)
        operator.until(lambda: abs(control.ask("state")["gripper_opening"] - openness) < 0.1, what="the fingers")
        operator.until(
            lambda: operator.states[-1].connected and not operator.states[-1].moving
            and abs(operator.states[-1].openness - openness) < 0.1 and operator.states[-1].commanded == openness,
            what="the state",
        )  # fmt: skip
    control.close()
    assert node.interrupt(5.0) == 0


def test_a_lost_gripper_is_reported_taken_up_again_and_sent_where_it_should_be(process, tmp_path, operator, loopback_ip):
    cell_file = write_cell(tmp_path, loopback_ip)
    start_simulator(process, cell_file)
    control = ControlPort(loopback_ip)
    start(process, cell_file)
    go(operator, 0.0)
    operator.until(lambda: operator.states and operator.states[-1].connected, what="the gripper")
    control.fault("kill", seconds=2.0)
    operator.until(lambda: not operator.states[-1].connected and operator.states[-1].reason, what="the loss")
    operator.command.publish(GripperCommand(openness=1.0, speed=1.0, force=0.4))
    operator.until(lambda: operator.states[-1].connected and operator.states[-1].commanded == 1.0, what="its return")
    operator.until(lambda: control.ask("state")["gripper_opening"] > 0.9, what="the fingers")
    control.close()


def test_an_absent_gripper_is_one_line_and_exit_2(process, tmp_path, operator, loopback_ip):
    node = start(process, write_cell(tmp_path, loopback_ip))
    assert node.wait(20.0) == 2
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: gripper at")
