"""A second cell on a ROS domain is refused before any of its nodes starts, whoever runs the first."""

import sys
import time

import pytest
from prophrl_bringup.cell_processes import running_cell
from prophrl_bringup.one_cell import OneCell
from prophrl_bringup.session import prepare
from prophrl_bringup.up import bring_up
from prophrl_core.errors import UserError

ANOTHER = """
import sys, rclpy
from prophrl_interfaces.msg import ArmStatus
from std_srvs.srv import Trigger

def called(request, response):
    print("called", flush=True)
    return response

rclpy.init()
node = rclpy.create_node("another_cell")
kept = [node.create_service(Trigger, "arm/home", called)] if "home" in sys.argv else []
kept += [node.create_publisher(ArmStatus, "arm/status", 1)] if "status" in sys.argv else []
print("there", flush=True)
rclpy.spin(node)
"""
REFUSAL = "expected no other cell on ROS domain {}, "


@pytest.mark.parametrize(("offers", "what"), [("home", "arm/home"), ("status", "arm/status")])
def test_another_cells_arm_on_the_graph_is_seen(process, ros_domain, offers, what):
    other = process([sys.executable, "-c", ANOTHER, offers], name="another")
    other.wait_for("there")
    with OneCell() as alone, pytest.raises(UserError, match=f"{REFUSAL.format(ros_domain)}{what} is there") as caught:
        alone.check()
    assert "\n" not in str(caught.value) and "called" not in other.output()


def test_nothing_starts_beside_another_cell(process, ros_domain, loopback_ip, tmp_path):
    other = process([sys.executable, "-c", ANOTHER, "home", "status"], name="another")
    other.wait_for("there")
    arguments = {"policy": "none", "run": str(tmp_path / "run"), "robot_ip": loopback_ip}
    session = prepare("grasp_bottle", arguments)
    with pytest.raises(UserError, match=REFUSAL.format(ros_domain)):
        bring_up(session, quiet=True)
    names = ("sim_cell", "arm_node")
    with pytest.raises(UserError, match=REFUSAL.format(ros_domain)), OneCell() as alone, running_cell(
        session, names, alone.check
    ):
        pass
    logs = sorted(path.name for path in (session.run_dir / "logs").iterdir())
    assert logs == ["sim_cell.log"], "which is no node: it does not touch the graph"
    assert "called" not in other.output()


def test_a_domain_is_one_cells_at_a_time(ros_domain, monkeypatch):
    with OneCell() as alone:
        begun = time.monotonic()
        with pytest.raises(UserError, match=f"{REFUSAL.format(ros_domain)}one is being run on this machine"), OneCell():
            pass
        assert time.monotonic() - begun < 0.5
        alone.check()  # nobody else is there
    with OneCell():
        monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain + 100))
        with OneCell():
            pass
