"""Every fault of the arm on the real processes: it comes to rest, says why, and comes back as far as that is safe."""

import os
import signal
import sys
import time

import numpy as np
import pytest
from prophrl_bringup.bench.arm_rig import write_cell
from prophrl_bringup.bench.faults import SCENARIOS, recover, run_scenario
from prophrl_bringup.nodes.arm_client import sway
from prophrl_cell.arm.dashboard import Dashboard
from prophrl_interfaces.msg import ArmStatus


def one_line(node):
    """The only line an arm_node that refused to start has printed."""
    assert node.popen.wait(40.0) == 2, node.output()
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: "), lines
    return lines[0]


def test_the_arm_rests_reports_and_recovers_from_every_fault_in_one_running_graph(arm_rig):
    with arm_rig(cameras=True) as rig:
        rig.start_arm()
        rig.client.home()
        for scenario in SCENARIOS:
            outcome = run_scenario(rig, scenario)
            assert outcome.stop_time < scenario.limit + 1.0, scenario.name
            reasons = [reason for name, reason in outcome.states if name in scenario.states]
            assert not scenario.resume or any(reasons), scenario.name
            recover(rig, scenario)
        assert rig.client.status.process_restarts >= 5
        assert rig.arm.popen.poll() is None


def test_a_killed_arm_node_leaves_a_resting_arm_and_no_process(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        rig.client.home()
        rig.client.start_episode()
        rig.client.sway_until(time.monotonic() + 1.2)
        pid = rig.arm_process()
        injected = time.monotonic()
        rig.arm.popen.kill()
        assert rig.stop_time(injected) < 2.0
        end = time.monotonic() + 10.0
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{pid}")


def test_resume_and_home_are_refused_while_stopped(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        client = rig.client
        client.home()
        rig.fault("estop")
        client.until_mode(ArmStatus.MODE_EMERGENCY_STOP)
        for service in ("arm/resume", "arm/home"):
            answer = client.call(service)
            assert not answer.success and "EMERGENCY_STOP" in answer.message
        client.call("arm/unlock")
        client.spin(2.0)
        assert client.status.mode == ArmStatus.MODE_EMERGENCY_STOP
        rig.fault("clear")
        client.recover()
        client.call("arm/hold")
        client.until_mode(ArmStatus.MODE_HOLD)
        assert not client.call("arm/home").success
        client.call("arm/resume")
        client.until_mode(ArmStatus.MODE_READY)


def test_a_resume_waits_for_rest_and_a_hold_is_taken_while_the_program_starts_again(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        client = rig.client
        client.home()
        client.start_episode()
        client.execute(sway(speed=0.3))
        client.spin(0.5)
        client.targets.clear()
        assert client.call("arm/hold").success
        client.until(lambda: client.call("arm/resume").success, "the resume taken, the arm still braking")
        client.until_mode(ArmStatus.MODE_READY)
        client.spin(0.5)
        t = np.array([m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in client.targets])
        y = np.array([m.tcp.position.y for m in client.targets])
        speed = np.diff(y) / np.diff(t)
        way = np.sign(speed[np.argmax(np.abs(speed))]) * speed
        assert way.max() < 0.35 and way[way > 1e-3].size and np.diff(way).max() < 0.05, "no jump on the way to rest"
        assert way.min() > -0.1, "no jump back to where the arm was"

        with Dashboard(rig.ip) as pendant:
            pendant.ask("stop")
        client.until_mode(ArmStatus.MODE_HOLD)
        for service in ("arm/resume", "arm/hold"):
            answer = client.call(service)
            assert answer.success, answer.message
        client.until(lambda: "by the operator" in client.status.reason, "the hold")
        client.spin(0.5)
        assert client.status.mode == ArmStatus.MODE_HOLD


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("power_off", "brakes"),
        ("local_mode", "Remote Control"),
        ("register_in_use", "in use"),
        ("estop", "safety status"),
    ],
)
def test_a_controller_that_cannot_be_driven_is_one_line_and_nothing_moves(arm_rig, fault, word):
    with arm_rig() as rig:
        rig.fault(fault)
        before = rig.joints()
        line = one_line(rig.start_arm())
        assert word in line and rig.ip in line
        assert abs(rig.joints() - before).max() < 1e-3


def test_the_wrong_model_is_one_line(arm_rig):
    anywhere = {
        "envelope__workspace_min": [-2.0, -2.0, -2.0],
        "envelope__workspace_max": [2.0, 2.0, 2.0],
        "envelope__max_tilt": 3.2,
    }
    with arm_rig(robot__model="ur20", simulated={"robot__model": "ur30"}, **anywhere) as rig:
        line = one_line(rig.start_arm())
        assert "UR20" in line and "UR30" in line


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "no dashboard server answers"),
        ({"envelope__workspace_max": [0.4, 0.35, 0.6]}, "workspace"),
        ({"envelope__stop_on": ["no_such_limit"]}, "stop_on"),
        ({"robot__model": "ur7"}, "robot.model"),
    ],
)
def test_nobody_there_or_an_unusable_description_is_one_line(process, tmp_path, ros_domain, loopback_ip, changes, word):
    cell_file = write_cell(tmp_path, loopback_ip, **changes)
    words = ["--ros-args", "-p", f"cell_file:={cell_file}", "-p", "task_file:=grasp_bottle"]
    node = process([sys.executable, "-m", "prophrl_cell.nodes.arm_node", *words])
    assert node.wait(40.0) == 2
    lines = [line for line in node.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error: ") and word in lines[0]


def test_a_second_arm_node_on_the_domain_is_one_line_and_the_first_goes_on(arm_rig):
    with arm_rig() as rig:
        first = rig.start_arm()
        rig.client.home()
        assert "no other /arm_node on ROS domain" in one_line(rig.start_arm())
        assert first.popen.poll() is None
        rig.client.home()


def test_interrupted_in_motion_it_ends_cleanly_with_the_arm_at_rest(arm_rig):
    with arm_rig() as rig:
        rig.start_arm()
        rig.client.home()
        rig.client.start_episode()
        rig.client.sway_until(time.monotonic() + 1.2)
        injected = time.monotonic()
        rig.arm.popen.send_signal(signal.SIGINT)
        assert rig.stop_time(injected) < 3.0
        assert rig.arm.popen.wait(8.0) == 0
