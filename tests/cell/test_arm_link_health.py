"""Verdicts on what the controller reports, and on its silence."""

import dataclasses

from prophrl_cell.arm.link_health import Health, LinkHealth


@dataclasses.dataclass
class Report:
    controller_time: float = 0.0
    robot_mode: int = 7
    safety_mode: int = 1
    runtime_state: int = 2
    protective_stop: bool = False
    emergency_stop: bool = False


def feed(health, start, seconds, report=None, connected=True, stale=False):
    report, t = report or Report(), start
    while t < start + seconds:
        t += 0.008
        if not stale:
            report.controller_time = t
        health.sent(True, t)
        health.judge(report, connected, t)
    return t


def test_a_stream_that_advances_is_good_and_silence_is_noticed_within_100_ms():
    health = LinkHealth(0.0)
    t = feed(health, 0.0, 1.0)
    assert health.now is Health.GOOD
    report = Report(controller_time=t)
    feed(health, t, 0.06, report, stale=True)
    assert health.now is Health.GOOD
    t = feed(health, t, 0.1, report, stale=True)
    assert health.now is Health.STALLED and health.reason and not health.lost
    t = feed(health, t, 0.5)
    assert health.now is Health.GOOD and 0.08 < health.last_stall < 0.2
    t = feed(health, t, 1.6, Report(controller_time=t), stale=True)
    assert health.lost and health.last_stall > LinkHealth.FORGIVEN


def test_a_closed_socket_is_lost_at_once():
    health = LinkHealth(0.0)
    feed(health, 0.0, 0.01, connected=False)
    assert health.lost and health.now is Health.STALLED


def test_stops_power_and_programs_are_told_apart():
    for report, expected, person in (
        (Report(protective_stop=True, emergency_stop=True), Health.EMERGENCY_STOP, True),
        (Report(protective_stop=True), Health.PROTECTIVE_STOP, True),
        (Report(robot_mode=3), Health.POWER, True),
        (Report(runtime_state=1), Health.PROGRAM_STOPPED, False),
    ):
        health = LinkHealth(0.0)
        feed(health, 0.0, 0.1, report)
        assert health.now is expected and health.now.needs_person is person
        assert health.reason and not health.now.commandable


def test_refused_commands_are_a_stopped_program_and_stale_bits_are_not_trusted():
    health = LinkHealth(0.0)
    t = 0.0
    for _ in range(20):
        t += 0.008
        health.sent(False, t)
        health.judge(Report(controller_time=t), True, t)
    assert health.now is Health.PROGRAM_STOPPED
    health = LinkHealth(0.0)
    feed(health, 0.0, 0.2, Report(controller_time=5.0, protective_stop=True), stale=True)
    assert health.now is Health.STALLED
