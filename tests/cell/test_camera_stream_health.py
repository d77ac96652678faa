"""Counting frames, noticing stalls, spacing restarts."""

import pytest
from prophrl_cell.camera.stream_health import Backoff, StallConfig, StreamHealth


def test_gaps_in_the_frame_counter_are_lost_frames():
    health = StreamHealth(30.0)
    health.opened(0.0)
    for i, number in enumerate([7, 8, 9, 12, 13, 20]):
        health.saw(number, i / 30, 0.003)
    assert (health.frames, health.dropped) == (6, 8)


def test_a_counter_that_starts_over_is_a_new_stream_not_a_loss():
    health = StreamHealth(30.0)
    health.opened(0.0)
    health.saw(500, 0.0, 0.0)
    assert health.saw(1, 0.1, 0.0) == 0
    health.opened(1.0)
    assert health.saw(900, 1.1, 0.0) == 0
    assert health.dropped == 0


def test_stall_needs_silence_longer_than_configured():
    health = StreamHealth(30.0, StallConfig(frames_missing=30, floor_s=0.5, first_frame_s=3.0))
    assert not health.stalled(1e9), "a stream that was never opened cannot stall"
    health.opened(10.0)
    assert not health.stalled(12.9)
    assert health.stalled(13.1), "a device may take longer for its first frame, but not for ever"
    health.saw(1, 11.1, 0.0)
    assert not health.stalled(12.0)
    assert health.silence_s(12.0) == pytest.approx(0.9)
    assert health.stalled(12.2)


def test_rate_and_latency_come_from_the_last_window():
    health = StreamHealth(30.0, window=30)
    health.opened(0.0)
    assert health.rate_hz == 0.0
    for i in range(100):
        health.saw(i, i / 10, 0.5 if i < 60 else 0.002)
    assert health.rate_hz == pytest.approx(10.0)
    assert health.latency_s == pytest.approx(0.002)


def test_backoff_doubles_to_its_bound_and_starts_over():
    backoff = Backoff(StallConfig(first_backoff_s=0.5, max_backoff_s=3.0))
    assert [backoff.next_wait_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.succeeded()
    assert backoff.next_wait_s() == 0.5
