"""When the policy looks again: cadence, starvation and staleness."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_policy.scheduling import ChunkScheduler, Decision, LatencyWindow, ScheduleConfig


def simulate(latency, frame_period, age, seconds=10.0, config=ScheduleConfig()):
    """A camera, a policy and a clock; returns stamps of the observations chunks were computed from."""
    scheduler, now, stamps, busy_until = ChunkScheduler(config), 0.0, [], 0.0
    while now < seconds:
        newest = ((now - age) // frame_period) * frame_period if now >= age else None
        if now >= busy_until and scheduler.decide(now, newest) is Decision.INFER:
            stamps.append((newest, now + latency))
            scheduler.sent(newest, latency)
            busy_until = now + latency
        now += 0.008
    return stamps


@settings(max_examples=12, deadline=None)
@given(st.floats(0.005, 0.3), st.sampled_from([1 / 30, 1 / 15, 0.1]), st.floats(0.0, 0.15))
def test_chunks_follow_each_other_every_execute_steps_and_never_run_dry(latency, frame_period, age):
    stamps = simulate(latency, frame_period, age)
    gaps = [b[0] - a[0] for a, b in zip(stamps, stamps[1:])]
    assert min(gaps) >= 0.8 - 0.021
    assert max(gaps) <= 0.8 + frame_period + latency + 0.02
    for (stamp, _), (_, next_arrival) in zip(stamps, stamps[1:]):
        assert next_arrival < stamp + 2.0


def test_a_slow_policy_is_asked_before_the_chunk_ends():
    """With 20 steps to execute of 20, waiting for the full period would leave the arm without steps."""
    config = ScheduleConfig(execute_steps=20)
    stamps = simulate(0.4, 0.1, 0.05, config=config)
    steady = list(zip(stamps, stamps[1:]))[1:]
    assert steady and all(arrival < before[0] + 2.0 + 1e-6 for before, (_, arrival) in steady)


def test_stale_and_missing_observations_are_not_used():
    scheduler = ChunkScheduler(ScheduleConfig())
    assert scheduler.decide(10.0, None) is Decision.NO_OBSERVATION
    assert scheduler.decide(10.0, 9.4) is Decision.STALE
    assert scheduler.decide(10.0, 9.9) is Decision.INFER
    scheduler.sent(9.9, 0.02)
    assert scheduler.decide(10.0, 9.9) is Decision.NOT_DUE
    assert scheduler.decide(10.3, 10.2) is Decision.NOT_DUE
    scheduler.restart()
    assert scheduler.decide(10.3, 10.2) is Decision.INFER


def test_latency_window_forgets():
    window = LatencyWindow(size=10)
    assert window.quantile(0.5) == 0.0
    for value in [9.0] * 10 + [1.0] * 10:
        window.add(value)
    assert window.quantile(0.99) == 1.0


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError):
        ScheduleConfig(execute_steps=21)
