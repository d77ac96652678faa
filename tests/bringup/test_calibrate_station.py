"""A calibration asks nothing of an arm that waits for a person's word. No nodes."""

import types

import pytest
from prophrl_bringup.calibrate.station import Station
from prophrl_core.errors import UserError
from prophrl_interfaces.msg import ArmStatus

HOME = (0.0, -1.5, 1.5, -1.6, -1.6, 0.0)


class Client:
    """An arm's modes in order: one more each time that somebody looks or waits."""

    def __init__(self, *modes):
        self._modes, self.asked = list(modes), []
        self.targets = [types.SimpleNamespace(joints=HOME)]
        self.status = types.SimpleNamespace(mode=ArmStatus.MODE_STARTING, reason="contact 92 N")

    def spin(self, seconds):
        if self._modes:
            self.status.mode = self._modes.pop(0)

    def until_mode(self, *modes, limit=0.0):
        while self.status.mode not in modes:
            assert self._modes
            self.spin(0.0)

    def __getattr__(self, name):
        return lambda *_: self.asked.append(name)


def station_with(client):
    station = Station.__new__(Station)
    station.client, station.cell = client, types.SimpleNamespace(robot=types.SimpleNamespace(home=HOME))
    return station


@pytest.mark.parametrize("mode", [
    ArmStatus.MODE_HOLD, ArmStatus.MODE_PROTECTIVE_STOP, ArmStatus.MODE_EMERGENCY_STOP, ArmStatus.MODE_FAULT,
])  # fmt: skip
def test_an_arm_that_has_stopped_is_neither_unlocked_nor_resumed(mode):
    client = Client(mode)
    with pytest.raises(UserError, match=r"it has stopped: contact 92 N; .* unlock and resume .* start again") as caught:
        station_with(client).begin()
    assert client.asked == [] and "\n" not in str(caught.value)


@pytest.mark.parametrize("modes", [(ArmStatus.MODE_READY,), (ArmStatus.MODE_HOLD, ArmStatus.MODE_READY)])
def test_an_arm_that_is_ready_goes_home_also_after_a_short_standstill_of_its_stream(modes):
    client = Client(*modes)
    station_with(client).begin()
    assert client.asked == ["home", "start_episode"]


def test_an_arm_that_was_stopped_on_its_way_home_begins_nothing():
    client = Client(ArmStatus.MODE_READY)
    client.targets[0].joints = tuple(q + 0.2 for q in HOME)
    with pytest.raises(UserError, match=r"expected it at home, it was stopped 0\.20 rad away"):
        station_with(client).begin()
    assert client.asked == ["home"]
