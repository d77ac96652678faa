"""The trial session as a state machine: every party late, silent, faulty or impatient."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_cell.graph_health import GraphHealth
from prophrl_cell.session import Announce, Emit, GoHome, Phase, SessionConfig, TrialSession, View

CONFIG = SessionConfig(trials=3, seed=40, timeout_s=15.0)
OK = View()


class Driver:
    """Steps a session at 20 Hz of its own clock and answers as told."""

    def __init__(self, config=CONFIG):
        self.now = 100.0
        self.session = TrialSession(config, lambda trial: f"episode-{trial}", self.now)
        self.log = []

    def run(self, seconds, view=OK, until=None):
        """Commands until ``until`` is announced or time is over."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.05
            for command in self.session.step(self.now, view):
                self.log.append(command)
                if isinstance(command, GoHome):
                    self.session.home_answered(True, "", self.now)
                elif command.what is until:
                    return command
        assert until is None, f"{until} was not announced within {seconds} s; phase {self.session.phase}"
        return None

    def to_running(self):
        self.run(10, until=Announce.RESET_REQUESTED)
        assert self.session.scene_ready() == ""
        return self.run(1, until=Announce.STARTED)

    def announced(self):
        return [c.what for c in self.log if isinstance(c, Emit)]


def test_three_trials_with_a_success_a_failure_and_a_timeout():
    d = Driver()
    started = d.to_running()
    assert (started.trial, started.seed, started.episode_id) == (0, 40, "episode-0")
    d.run(2.0)
    assert d.session.label("", "success", "held", "ada") == ""
    stopped = d.run(1, until=Announce.STOPPED)
    assert (stopped.result.outcome, stopped.result.operator, stopped.episode_id) == ("success", "ada", "episode-0")
    assert stopped.result.duration_s == pytest.approx(2.05, abs=0.06)
    d.to_running()
    assert d.session.label("episode-1", "failure", "", "") == ""
    d.run(1, until=Announce.STOPPED)
    d.to_running()
    d.run(16, until=Announce.LABEL_REQUESTED)
    d.session.label("episode-2", "failure", "time", "ada")
    d.run(1, until=Announce.SESSION_ENDED)
    assert [(r.trial, r.outcome) for r in d.session.results] == [(0, "success"), (1, "failure"), (2, "failure")]
    assert d.session.results[2].duration_s >= 15.0
    assert d.session.message == "" and d.session.phase is Phase.DONE
    assert d.session.step(d.now + 1, OK) == []


def test_a_trial_cannot_start_before_everything_is_ready_and_home():
    d = Driver()
    d.run(5, View(not_ready="camera front: no frame"))
    assert d.log == [], "nothing moves while a camera is missing"
    d.run(0.1)
    assert d.log == [GoHome()]
    d.run(20, View(arm_moving=True))
    assert d.announced() == [], "the scene is not laid out under a moving arm"
    d.run(1, until=Announce.RESET_REQUESTED)


def test_a_fault_ends_the_trial_and_the_next_waits_for_recovery():
    d = Driver()
    d.to_running()
    broken = View(fault="arm: protective stop", not_ready="arm: protective stop")
    stopped = d.run(1, broken, until=Announce.STOPPED)
    assert (stopped.result.outcome, stopped.result.reason) == ("fault", "arm: protective stop")
    homes = d.log.count(GoHome())
    d.run(30, broken)
    assert d.log.count(GoHome()) == homes, "nothing moves until the operator has recovered the arm"
    started = d.to_running()
    assert (started.trial, started.seed) == (1, 41)


def test_recovery_is_waited_for_only_so_long():
    d = Driver(dataclasses.replace(CONFIG, ready_timeout_s=20.0))
    d.to_running()
    broken = View(fault="arm: e-stop", not_ready="arm: e-stop")
    d.run(25, broken, until=Announce.SESSION_ENDED)
    assert d.session.message == "session ended before trial 1: not ready within 20 s: arm: e-stop"
    assert len(d.session.results) == 1


def test_a_fault_on_the_way_home_is_tried_again():
    d = Driver()
    d.run(0.1)
    assert d.log == [GoHome()]
    d.run(4, View(not_ready="arm: hold"))
    assert d.log == [GoHome()]
    d.run(10, until=Announce.RESET_REQUESTED)
    assert d.log.count(GoHome()) == 2


def test_home_that_is_refused_or_never_answered_is_asked_again_and_given_up():
    config = dataclasses.replace(CONFIG, ready_timeout_s=12.0)
    session = TrialSession(config, str, 0.0)
    asked, now = 0, 0.0
    while session.phase is Phase.HOMING and now < 60:
        now += 0.05
        for command in session.step(now, OK):
            if isinstance(command, GoHome):
                asked += 1
                if asked == 1:
                    session.home_answered(False, "the arm is in HOLD", now)
    assert asked == 3, "after the refusal's pause, then every 5 s without an answer"
    assert session.message == "session ended before trial 0: not ready within 12 s: the arm is in HOLD"


def test_nobody_lays_out_the_scene():
    d = Driver(dataclasses.replace(CONFIG, scene_timeout_s=30.0))
    d.run(10, until=Announce.RESET_REQUESTED)
    d.run(31, until=Announce.SESSION_ENDED)
    assert "nobody called session/scene_ready within 30 s" in d.session.message


def test_nobody_labels():
    d = Driver(dataclasses.replace(CONFIG, label_timeout_s=10.0))
    d.to_running()
    d.run(16, until=Announce.LABEL_REQUESTED)
    stopped = d.run(11, until=Announce.STOPPED)
    assert (stopped.result.outcome, stopped.result.reason) == ("aborted", "no label within 10 s of the end")


def test_a_trial_that_is_stopped_by_hand_asks_for_its_label():
    d = Driver()
    assert "while homing" in d.session.stop("")
    d.to_running()
    assert "a stop of episode-0, got one of other" in d.session.stop("other")
    assert d.session.stop("episode-0") == ""
    d.run(1, until=Announce.LABEL_REQUESTED)
    assert "while labelling" in d.session.stop("")
    d.session.label("", "success", "", "ada")
    d.run(1, until=Announce.STOPPED)


def test_uncounted_trials_are_run_again_with_the_next_seed():
    d = Driver(dataclasses.replace(CONFIG, trials=2, uncounted=("discarded", "fault")))
    for outcome in ("discarded", "success", "discarded", "failure"):
        d.to_running()
        d.session.label("", outcome, "", "")
        d.run(1, until=Announce.STOPPED)
        if outcome == "success":
            d.to_running()
            d.run(1, View(fault="arm: hold"), until=Announce.STOPPED)
    d.run(1)
    assert [r.outcome for r in d.session.results] == ["discarded", "success", "fault", "discarded", "failure"]
    assert d.session.phase is Phase.DONE and d.session.seed == 44 and d.session.message == ""


@pytest.mark.parametrize("phase", ["homing", "reset", "running", "labelling"])
def test_cancel_ends_everything_at_once(phase):
    d = Driver()
    if phase != "homing":
        d.run(10, until=Announce.RESET_REQUESTED)
    if phase in ("running", "labelling"):
        d.session.scene_ready()
        d.run(1, until=Announce.STARTED)
    if phase == "labelling":
        d.run(16, until=Announce.LABEL_REQUESTED)
    d.run(0.1, View(cancelled=True), until=Announce.SESSION_ENDED)
    has_episode = phase in ("running", "labelling")
    assert [r.outcome for r in d.session.results] == (["aborted"] if has_episode else [])
    assert (Announce.STOPPED in d.announced()) == has_episode
    assert d.session.message == f"cancelled during trial 0 ({phase})"


def test_words_at_the_wrong_time_are_refused():
    d = Driver()
    assert "while homing" in d.session.scene_ready()
    assert "while homing" in d.session.label("", "success", "", "")
    d.to_running()
    assert "while running" in d.session.scene_ready()
    assert "got one for episode-9" in d.session.label("episode-9", "success", "", "")
    assert "expected an outcome out of" in d.session.label("", "great", "", "")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(
    st.sampled_from(["step", "home", "refuse", "scene", "success", "nonsense"]),
    st.floats(0.01, 20.0), st.booleans(), st.booleans(),
), max_size=120))
def test_started_and_stopped_always_pair_up(actions):
    session, now, events = TrialSession(CONFIG, lambda t: f"e{t}", 0.0), 0.0, []
    for action, dt, bad, moving in actions:
        now += dt
        if action == "home":
            session.home_answered(True, "", now)
        elif action == "refuse":
            session.home_answered(False, "no", now)
        elif action == "scene":
            session.scene_ready()
        elif action in ("success", "nonsense"):
            session.label("", action, "", "")
        line = "arm: broken" if bad else ""
        events += [c for c in session.step(now, View(moving, line, line)) if isinstance(c, Emit)]
    depth = 0
    for event in events:
        if event.what is Announce.STARTED:
            depth += 1
            assert event.episode_id == f"e{event.trial}"
        if event.what is Announce.STOPPED:
            depth -= 1
            assert event.result.episode_id == event.episode_id
        assert depth in (0, 1)
    assert len(session.results) == sum(e.what is Announce.STOPPED for e in events) <= CONFIG.trials
    assert sum(e.what is Announce.SESSION_ENDED for e in events) == (session.phase is Phase.DONE)


def test_health_names_the_first_trouble():
    health = GraphHealth({"arm": 1.0, "recorder": 3.0})
    assert health.trouble(0.0) == "arm: nothing heard yet; is its node running?"
    health.heard("arm", True, "", 0.0)
    health.heard("recorder", False, "disk full", 0.0)
    assert health.trouble(0.5) == "recorder: disk full"
    health.heard("recorder", True, "", 0.5)
    assert health.trouble(0.9) == ""
    assert health.trouble(2.0) == "arm: silent for more than 1 s; is its node running?"
