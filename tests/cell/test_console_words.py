"""What the console says of the cell, given what it heard."""

import dataclasses
import math

from prophrl_cell.console import session_view, wording
from prophrl_cell.console.health_panel import streams_html
from prophrl_cell.console.session_view import Event, SessionView
from prophrl_cell.console.views import ArmView, CellState, EnvelopeView, PolicyView, StreamView

ARM = ArmView(10.0, "hold", "", "none", 1.0, 8.0, 8.1, 0, 0, 0, True)


def test_an_arm_that_says_nothing_is_a_danger_whatever_it_said_last():
    assert wording.safety(None, 0.0).headline == "No arm yet"
    assert wording.safety(ARM, 10.1) == wording.Headline("warn", "Holding", "press Resume when the arm may move again")
    assert wording.safety(dataclasses.replace(ARM, reason="because"), 10.1).line == "because"
    assert wording.safety(ARM, 12.0).level == "danger" and wording.safety(ARM, 12.0).headline == "Arm silent"
    assert wording.safety(dataclasses.replace(ARM, mode="17"), 10.1).level == "danger"


def test_only_what_is_wrong_with_a_stream_has_colour():
    good = StreamView("/joint_states", 1000, 0, 125.0, 0.02, 0.001)
    bad = StreamView("/camera/<b>", 100, 3, 30.0, 0.6, 0.4)
    unstamped = StreamView("/x", 1, 0, 0.1, 5.0, math.nan)
    assert wording.stream_problems(good) == {} == wording.stream_problems(unstamped)
    assert set(wording.stream_problems(bad)) == {"lost", "gap", "skew"}
    page = streams_html((good, bad, unstamped))
    assert page.count("warn-text") == 3 and "<b>" not in page and "nan" not in page


def test_a_session_from_its_start_to_its_end():
    session = SessionView(15.0)
    session.asked(2, 7)
    assert session.headline(0.0) == "Trial 1 of 2: the arm goes home"
    session.heard(Event("reset_requested", 0, 7, "", 100.0))
    session.heard(Event("started", 0, 7, "e0", 101.0, instruction="grasp"))
    assert session.running and session.headline(105.0) == "Trial 1 of 2: recording, 4 s of 15 s"
    session.heard(Event("label_requested", 0, 7, "e0", 116.0))
    assert session.running and session.phase == session_view.LABEL
    session.heard(Event("stopped", 0, 7, "e0", 117.0, "discarded", "bumped"))
    session.feedback(1, "homing")
    session.heard(Event("stopped", 1, 8, "e1", 120.0, "success"))
    session.feedback(2, "homing")
    assert session.headline(0.0).startswith("Trial 3 (2 wanted)") and session.counts() == {"discarded": 1, "success": 1}
    session.ended("session over")
    session.heard(Event("stopped", 2, 9, "e2", 130.0, "failure"))  # events may come after the result
    session.heard(Event("session_ended", 2, 9, "", 130.0))
    assert session.phase == session_view.IDLE and session.message == "session over"


def test_a_session_that_somebody_else_started_is_seen_too():
    session = SessionView(15.0)
    session.heard(Event("started", 3, 7, "e3", 100.0))
    assert session.running and session.headline(101.0) == "Trial 4: recording, 1 s of 15 s"
    session.heard(Event("session_ended", 3, 7, "", 110.0))
    assert session.headline(0.0) == "No session"


def test_envelope_events_add_up_and_policies_are_remembered_in_order():
    state = CellState()
    for limit in ("workspace", "workspace", "tcp_speed"):
        state.envelope_event(EnvelopeView(0.0, "clamped", limit, ""))
    assert [(e.limit, e.count) for e in state.envelope] == [("workspace", 2), ("tcp_speed", 1)]
    for version in ("a@1", "a@1", "", "b@2"):
        state.policy_heard(PolicyView(0.0, "idle", "", version, "", 0.0, 0.0))
    assert state.policy_versions == ("a@1", "b@2")
