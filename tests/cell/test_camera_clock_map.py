"""Hardware timestamps to host time: known clocks with known delays in, the truth out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_cell.camera.clock_map import ClockMap, lower_hull


def stream(rng, seconds, offset, drift, delays, rate=30.0):
    """Device times and host arrivals of a camera whose clock runs at 1 + drift host seconds per second."""
    device = 100.0 + np.arange(int(seconds * rate)) / rate
    taken = device * (1.0 + drift) + offset
    return device, taken, taken + delays(rng, len(device))


def queueing(minimum, mean):
    return lambda rng, n: minimum + rng.exponential(mean, n)


def test_constant_delay_is_mapped_exactly():
    clock = ClockMap()
    for i in range(100):
        assert clock.update(5.0 + i / 30, 42.0 + i / 30) == pytest.approx(42.0 + i / 30, abs=1e-9)
    assert clock.offset == pytest.approx(37.0)
    assert clock.drift == 0.0


@pytest.mark.parametrize("drift", [-2e-4, -5e-5, 0.0, 5e-5, 2e-4])
def test_drift_is_found_under_heavy_queueing(drift):
    rng = np.random.default_rng(3)
    device, taken, arrival = stream(rng, 90, 1000.0, drift, queueing(0.002, 0.02))
    clock = ClockMap()
    mapped = np.array([clock.update(d, a) for d, a in zip(device, arrival, strict=True)])
    late = mapped[-900:] - taken[-900:]
    assert np.all(np.abs(late) < 0.004), "within 2 ms of the 2 ms minimum delay"
    assert clock.drift == pytest.approx(drift, abs=4e-5)
    # The naive map (arrival time) is off by the queueing itself.
    assert np.quantile(arrival[-900:] - taken[-900:], 0.95) > 0.05


def test_one_late_burst_moves_nothing():
    rng = np.random.default_rng(0)
    device, taken, arrival = stream(rng, 20, 7.0, 0.0, lambda r, n: r.uniform(0.001, 0.002, n))
    arrival[300:330] += 0.8
    clock = ClockMap()
    mapped = np.array([clock.update(d, a) for d, a in zip(device, arrival, strict=True)])
    assert np.max(np.abs(mapped[30:] - taken[30:] - 0.001)) < 0.0011


def test_device_clock_that_starts_over_is_followed_at_once():
    clock = ClockMap()
    for i in range(300):
        clock.update(1000.0 + i / 30, 50.0 + i / 30)
    assert clock.settled
    assert clock.update(3.0, 60.5) == pytest.approx(60.5)
    assert not clock.settled


def test_device_clock_that_jumps_ahead_is_followed_at_once():
    clock = ClockMap()
    for i in range(300):
        clock.update(3.0 + i / 30, 50.0 + i / 30)
    assert clock.update(9000.0, 61.0) == pytest.approx(61.0)
    assert clock.update(9000.1, 61.3) == pytest.approx(61.1)


def test_a_slow_stream_settles_by_time():
    clock = ClockMap()
    clock.update(0.0, 10.0)
    assert not clock.settled
    clock.update(0.7, 10.7)
    assert clock.settled


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.0, 0.2), min_size=2, max_size=400),
    st.floats(-1e4, 1e4),
    st.floats(-3e-4, 3e-4),
)
def test_never_maps_a_frame_to_after_its_arrival(delays, offset, drift):
    clock = ClockMap()
    for i, delay in enumerate(delays):
        device = 10.0 + i / 10
        arrival = device * (1 + drift) + offset + delay
        assert clock.update(device, arrival) <= arrival + 1e-6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60))
def test_hull_lies_under_every_point_and_is_convex(ys):
    points = [(float(i), float(y)) for i, y in enumerate(ys)]
    hull = lower_hull(points)
    xs, hy = zip(*hull, strict=True)
    assert set(hull) <= set(points)
    assert all(np.interp(x, xs, hy) <= y + 1e-9 for x, y in points)
    slopes = np.diff(hy) / np.diff(xs)
    assert np.all(np.diff(slopes) > 0)
