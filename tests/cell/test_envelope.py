"""What the envelope refuses, and which envelopes are refused."""

import dataclasses
import math

import numpy as np
import pytest
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.joint_move import rest_to_rest
from prophrl_cell.arm.limiter import Clamp
from prophrl_core.action import ActionSpec
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.ur_kinematics import nearest_inverse

SPEC = ActionSpec()


@pytest.fixture(scope="module")
def cell():
    return load_cell("sim")


@pytest.fixture(scope="module")
def envelope(cell):
    return Envelope(cell, SPEC)


def still(steps=20):
    actions = np.zeros((steps, 7))
    actions[:, 6] = 1.0
    return actions


def check(envelope, actions, spec_id=SPEC.id, period=0.1, age=0.1):
    return envelope.check_chunk(actions, len(actions), actions.shape[1], period, spec_id, age)


def test_a_proper_chunk_passes(envelope):
    actions = still()
    actions[:, 0] = SPEC.max_translation
    actions[:, 4] = SPEC.max_rotation
    assert check(envelope, actions) is None


@pytest.mark.parametrize(
    ("limit", "spoil"),
    [
        ("finite", lambda a: a.__setitem__((3, 1), np.nan)),
        ("finite", lambda a: a.__setitem__((19, 6), np.inf)),
        ("action_magnitude", lambda a: a.__setitem__((0, 2), SPEC.max_translation * 1.01)),
        ("action_magnitude", lambda a: a.__setitem__((7, slice(3, 6)), SPEC.max_rotation * 0.6)),
        ("openness", lambda a: a.__setitem__((5, 6), 1.5)),
        ("openness", lambda a: a.__setitem__((5, 6), -0.5)),
    ],
)
def test_spoilt_numbers_are_refused_by_name(envelope, limit, spoil):
    actions = still()
    spoil(actions)
    found = check(envelope, actions)
    assert found is not None and found.limit == limit


def test_wrong_identity_size_rate_and_age_are_refused(envelope, cell):
    assert check(envelope, still(), spec_id="0" * 16).limit == "spec_id"
    assert check(envelope, still(21)).limit == "chunk_size"
    assert check(envelope, np.zeros((20, 6))).limit == "chunk_size"
    assert envelope.check_chunk(np.zeros((0, 7)), 0, 7, 0.1, SPEC.id, 0.1).limit == "chunk_size"
    assert envelope.check_chunk(still(20), 2**20, 7, 0.1, SPEC.id, 0.1).limit == "chunk_size"
    assert check(envelope, still(), period=0.05).limit == "step_period"
    assert check(envelope, still(), period=math.nan).limit == "finite"
    assert check(envelope, still(), age=cell.envelope.max_chunk_age + 0.01).limit == "chunk_age"
    assert check(envelope, still(), age=-1.0).limit == "chunk_age"
    assert check(envelope, still(), age=math.nan).limit == "finite"


def test_force_and_following_error_stop_the_arm(envelope, cell):
    home = np.array(cell.robot.home)
    assert envelope.check_measured(home, [0.0, 0.0, 79.0], home) is None
    found = envelope.check_measured(home, [60.0, 60.0, 0.0], home)
    assert found.limit == "contact_force" and envelope.stops(found)
    assert envelope.check_measured(home, [math.nan, 0.0, 0.0], home).limit == "contact_force"
    assert envelope.check_measured(home, [0.0, 0.0, 0.0], home + 0.5).limit == "following_error"


def test_stop_on_turns_a_clamp_into_a_stop(cell):
    strict = dataclasses.replace(cell, envelope=dataclasses.replace(cell.envelope, stop_on=("workspace",)))
    clamp = Clamp("workspace", 0.1, 0.0, "m")
    assert Envelope(strict, SPEC).stops(clamp)
    assert not Envelope(cell, SPEC).stops(clamp)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"workspace_min": (0.7, -0.35, 0.005)}, "workspace"),
        ({"max_tilt": -1.0}, "max_tilt"),
        ({"joint_margin": 4.0}, "joint_margin"),
        ({"stop_on": ("everything",)}, "stop_on"),
    ],
)
def test_an_unusable_envelope_is_one_clear_line(cell, changes, word):
    broken = dataclasses.replace(cell, envelope=dataclasses.replace(cell.envelope, **changes))
    with pytest.raises(UserError) as error:
        Envelope(broken, SPEC)
    assert word in str(error.value) and "\n" not in str(error.value)


def test_home_move_respects_every_bound_and_a_way_out_of_the_box_is_refused(envelope, cell):
    home = np.array(cell.robot.home)
    T = envelope.tcp(home)
    T[:3, 3] += [0.1, 0.2, -0.2]
    start = nearest_inverse(envelope.model, T @ np.linalg.inv(envelope.T_tool0_tcp), home)
    move = rest_to_rest(start, home, envelope, cell.robot.home_speed)
    t = np.arange(0.0, move.seconds + 0.002, 0.002)
    q = np.array([move.at(x) for x in t])
    place = np.array([envelope.tcp(x)[:3, 3] for x in q[::4]])
    assert np.allclose(q[0], start) and np.allclose(q[-1], home)
    assert np.abs(np.diff(q, axis=0)).max() / 0.002 <= cell.robot.home_speed + 1e-6
    velocity = np.diff(place, axis=0) / 0.008
    assert np.linalg.norm(velocity, axis=1).max() <= cell.envelope.tcp_speed
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() / 0.008 <= cell.envelope.tcp_acceleration
    assert envelope.check_path(move.path()) is None
    away = home.copy()
    away[0] += 1.5
    found = envelope.check_path(rest_to_rest(home, away, envelope, 0.6).path())
    assert found is not None and found.limit == "workspace"
    back = envelope.check_path(rest_to_rest(away, home, envelope, 0.6).path())
    assert back is None
