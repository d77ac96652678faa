"""The real arm_node and RTDE process against the simulated controller: homes, follows chunks, reports."""

import numpy as np
import pytest
from system.arm_cell import EPISODE, ArmCell, sway
from prophrl_core import action
from prophrl_interfaces.msg import ArmStatus


@pytest.fixture
def arm(process, tmp_path, ros_domain, loopback_ip):
    cell = ArmCell(process, tmp_path, ros_domain, loopback_ip)
    yield cell
    cell.close()


def test_homes_follows_a_chunk_reports_what_it_did_and_ends_cleanly(arm):
    arm.home()
    state = arm.control.ask("state")
    assert np.allclose(state["q"], arm.cell.robot.home, atol=0.02)
    operator = arm.operator
    operator.start_episode()
    before = np.array(arm.control.ask("state")["tcp"])
    operator.send_chunk(sway(speed=0.06, openness=0.0))
    operator.until_mode(ArmStatus.MODE_EXECUTING, timeout=20.0)
    operator.until_mode(ArmStatus.MODE_READY, timeout=20.0)
    operator.spin(0.5)
    after = np.array(arm.control.ask("state")["tcp"])
    moved = np.linalg.norm((after - before)[:3, 3])
    assert moved == pytest.approx(0.12, abs=0.01)
    steps = operator.executed
    assert len(steps) >= 19 and all(s.episode_id == EPISODE for s in steps)
    total, _ = action.integrate(np.eye(4), np.array([s.executed for s in steps], dtype=float))
    assert np.linalg.norm(total[-1][:3, 3]) == pytest.approx(0.12, abs=1e-3)
    assert operator.gripper[-1].openness == 0.0 and operator.gripper[0].openness == 1.0
    assert operator.joints[-1].name[0] == "shoulder_pan_joint"
    assert len(operator.targets) > 50 and operator.status.missed_cycles < 200
    assert arm.node.interrupt(5.0) == 0
    arm.operator.spin(0.3)
    assert arm.control.speed() < 0.01
