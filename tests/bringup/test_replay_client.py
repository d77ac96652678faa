"""The replay's start: an arm that stopped on its way home, or rests elsewhere, is sent nothing. No topics, no cell."""

import types

import numpy as np
import pytest
from prophrl_bringup import replay_plan
from prophrl_bringup.nodes import replay_client
from prophrl_bringup.nodes.replay_client import ReplayClient
from prophrl_core import se3
from prophrl_core.action import ActionSpec
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.ur_kinematics import forward
from prophrl_interfaces.msg import ArmStatus, ArmTarget, RecorderStatus
from rclpy.time import Time

HOLD = ArmStatus(mode=ArmStatus.MODE_HOLD, reason="held by the operator; resume to continue")
READY, MOVING = ArmStatus(mode=ArmStatus.MODE_READY), ArmStatus(mode=ArmStatus.MODE_MOVING)


def home_pose(cell):
    return forward(cell.robot.kinematics, np.array(cell.robot.home)) @ cell.robot.T_tool0_tcp


def resting_plan(T, steps=4):
    return replay_plan.Plan(ActionSpec(), np.repeat(T[None], steps + 1, 0), np.ones(steps), 0.0, 0.1 * steps)


class Client(ReplayClient):
    """The real waits over scripted messages: each turn of the executor hears the next of ``heard``, then ``after``."""

    def __init__(self, heard, T_target):
        self._arm = self._recorder = self._first_end = self._stopped = None
        self._targets, self.sent, self._heard = [], [], list(heard)
        self._clock_s = 1000.0
        quat, position = se3.quat_xyzw(T_target[:3, :3]), T_target[:3, 3]
        self._target = ArmTarget()
        p, q = self._target.tcp.position, self._target.tcp.orientation
        p.x, p.y, p.z = map(float, position)
        q.x, q.y, q.z, q.w = map(float, quat)
        answer = types.SimpleNamespace(success=True, message="")
        future = types.SimpleNamespace(done=lambda: True, result=lambda: answer)
        self._home = types.SimpleNamespace(service_is_ready=lambda: True, call_async=lambda request: future)
        self._chunks = types.SimpleNamespace(get_subscription_count=lambda: 1, publish=self.sent.append)
        self._executor = types.SimpleNamespace(spin_once=self._turn)

    def _turn(self, timeout_sec):
        self._clock_s += 0.05
        if self._heard:
            self._arm_heard(self._heard.pop(0))
        self._recorder_heard(RecorderStatus())
        self._target.header.stamp = Time(nanoseconds=int(self._clock_s * 1e9)).to_msg()
        self._target_heard(self._target)

    def _now(self):
        return self._clock_s

    def _event(self, kind, *_, **__):
        self.sent.append(kind)
        raise StopIteration  # as far as these tests go


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(replay_client, "SETTLE_S", 0.02)
    monkeypatch.setattr(replay_client, "LIMIT_S", 2.0)


@pytest.fixture
def home():
    return home_pose(load_cell("sim"))


def aside(T, metres=0.0, radians=0.0):
    return T @ se3.transform(se3.rotvec_to_matrix(np.array([0.0, 0.0, radians])), np.array([metres, 0.0, 0.0]))


@pytest.mark.parametrize("stop", [
    HOLD, ArmStatus(mode=ArmStatus.MODE_PROTECTIVE_STOP, reason="collision"),
    ArmStatus(mode=ArmStatus.MODE_EMERGENCY_STOP, reason="emergency stop"), ArmStatus(mode=ArmStatus.MODE_FAULT, reason="x"),
])  # fmt: skip
def test_an_arm_that_stopped_on_its_way_home_is_not_taken_for_one_at_home(home, stop):
    client = Client([READY, MOVING, stop, READY], aside(home, 0.2))
    with pytest.raises(UserError, match=f"the arm stopped on the way: {stop.reason}"):
        client.home()
    assert client.sent == []


def test_a_stop_between_home_and_the_start_counts_too(home):
    client = Client([READY, MOVING, READY], home)
    client.home()
    client._heard = [HOLD, READY]
    with pytest.raises(UserError, match="stopped on the way: held by the operator"):
        client.run(resting_plan(home), "e", 0, "v")
    assert client.sent == []


@pytest.mark.parametrize(("metres", "degrees", "good"), [
    (0.2, 0.0, False), (0.012, 0.0, False), (0.0, 3.0, False), (np.nan, 0.0, False), (0.005, 1.0, True),
])  # fmt: skip
def test_nothing_begins_where_the_plan_does_not(home, metres, degrees, good):
    client = Client([READY, MOVING, READY], aside(home, metres, np.deg2rad(degrees)))
    client.home()
    with pytest.raises(StopIteration if good else UserError, match=None if good else "where the plan begins, it is"):
        client.run(resting_plan(home), "e", 0, "v")
    assert bool(client.sent) is good


def test_a_plan_of_no_numbers_is_not_inside_the_workspace(home):
    cell = load_cell("sim")
    replay_plan._check_reach(resting_plan(home), cell, "e")
    for plan in (resting_plan(np.full((4, 4), np.nan)), resting_plan(aside(home, np.nan))):
        with pytest.raises(UserError, match="expected a finite path"):
            replay_plan._check_reach(plan, cell, "e")
