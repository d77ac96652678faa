"""The wave of the arm that latencies are measured with."""

import dataclasses

import numpy as np
from prophrl_calibration import latency, way
from prophrl_core import se3
from prophrl_core.errors import UserError

from prophrl_bringup.calibrate.station import Station, seconds_of

REACH = 0.06  # m each way from home
SECONDS = 15.0
_WAYS = ((0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0.7, -0.5), (0, -0.7, 0.3), (0, 1, 0.6), (0, -0.3, 0), (0, 0, 0))
_PACE = way.Pace(speed=0.14, turn=0.8)


@dataclasses.dataclass(frozen=True)
class Delays:
    """Of the camera's stamps, and of the measured joints behind the commanded ones (s)."""

    camera: latency.Delay
    arm: float


def wave(station: Station, camera: str) -> Delays:
    """Wave at home and measure. UserError when the camera does not see it."""
    stamps, small = [], []

    def keep(message):
        stamps.append(seconds_of(message.header.stamp))
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        small.append(latency.small_grey(pixels))

    T_home = station.envelope.tcp(np.array(station.cell.robot.home))
    station.client.joints.clear()
    station.client.targets.clear()
    station.client.spin(0.6)
    station.on_image = keep
    for direction in _WAYS:
        station.move(se3.transform(T_home[:3, :3], T_home[:3, 3] + REACH * np.array(direction)), _PACE)
    station.client.spin(0.6)
    station.on_image = lambda message: None
    if len(small) < 2:
        raise UserError(f"camera {camera}: expected pictures during the wave, got {len(small)}; see its log")
    flow = np.array([np.zeros(2)] + [latency.mean_flow(a, b) for a, b in zip(small, small[1:])])
    measured = [(seconds_of(m.header.stamp), m.position) for m in station.client.joints]
    commanded = [(seconds_of(m.header.stamp), m.joints) for m in station.client.targets]
    times, joints = np.array([t for t, _ in measured]), np.array([q for _, q in measured])
    places = np.array([station.envelope.tcp(q)[:3, 3] for q in joints])
    t_command, q_command = np.array([t for t, _ in commanded]), np.array([q for _, q in commanded])
    return Delays(
        latency.measure(np.array(stamps), flow, times, places), latency.following(t_command, q_command, times, joints)
    )
