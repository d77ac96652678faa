"""gripper_node against the emulated Robotiq socket and the emulated tool outputs."""

import sys

import pytest
from prophrl_bringup.bench.arm_rig import write_cell
from prophrl_interfaces.msg import GripperCommand, GripperState
from rclpy.qos import qos_profile_sensor_data


@pytest.fixture
def gripper(arm_rig):
    """Maker of a rig with a gripper_node and a client that commands it."""

    def make(**changes):
        rig = arm_rig(**changes).__enter__()
        made.append(rig)
        rig.gripper = rig.start("prophrl_cell.nodes.gripper_node", "--ros-args", "-p", f"cell_file:={rig.cell_file}")
        client = rig.client
        client.states = []
        client.node.create_subscription(GripperState, "gripper/state", client.states.append, qos_profile_sensor_data)
        client.command = client.node.create_publisher(GripperCommand, "gripper/command", 1)
        return rig

    made = []
    yield make
    for rig in made:
        rig.__exit__(None, None, None)


def go(client, openness):
    """Command as arm_node does: again and again, so that a late subscriber hears it."""

    def taken():
        client.command.publish(GripperCommand(openness=openness, speed=1.0, force=0.4))
        client.spin(0.1)
        return client.states and client.states[-1].commanded == openness

    client.until(taken, "the command")


def opening(rig):
    return rig.control.request("state")["gripper_opening"]


@pytest.mark.parametrize("driver", ["robotiq_socket", "tool_output"])
def test_closes_and_opens_and_says_so(gripper, driver):
    rig = gripper(gripper__driver=driver)
    client = rig.client
    for openness in (0.0, 1.0):
        go(client, openness)
        client.until(lambda wanted=openness: abs(opening(rig) - wanted) < 0.1, "the fingers")
        client.until(
            lambda wanted=openness: client.states[-1].connected and not client.states[-1].moving
            and abs(client.states[-1].openness - wanted) < 0.1 and client.states[-1].commanded == wanted,
            "the state",
        )  # fmt: skip
    assert rig.gripper.stop() == 0


def test_a_lost_gripper_is_reported_taken_up_again_and_sent_where_it_should_be(gripper):
    rig = gripper()
    client = rig.client
    go(client, 0.0)
    rig.fault("kill", seconds=2.0)
    client.until(lambda: not client.states[-1].connected and client.states[-1].reason, "the loss")
    client.command.publish(GripperCommand(openness=1.0, speed=1.0, force=0.4))
    client.until(lambda: client.states[-1].connected and client.states[-1].commanded == 1.0, "its return")
    client.until(lambda: opening(rig) > 0.9, "the fingers")


def test_an_absent_gripper_is_one_line_and_exit_2(process, tmp_path, ros_domain, loopback_ip):
    cell_file = write_cell(tmp_path, loopback_ip)
    node = process(
        [sys.executable, "-m", "prophrl_cell.nodes.gripper_node", "--ros-args", "-p", f"cell_file:={cell_file}"]
    )
    assert node.wait(20.0) == 2
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: gripper at")
