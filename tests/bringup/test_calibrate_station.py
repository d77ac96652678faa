"""A calibration asks nothing of an arm that waits for a person's word. No nodes."""

import types

import pytest
from prophrl_bringup.calibrate.station import Station
from prophrl_core.errors import UserError
from prophrl_interfaces.msg import ArmStatus


class Client:
    """An arm's modes in order: one more each time that somebody looks or waits."""

    def __init__(self, *modes):
        self._modes, self.asked = list(modes), []
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
    station.client = client
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
