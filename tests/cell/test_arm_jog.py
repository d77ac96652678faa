"""An operator's jog: right way and scale, inside the envelope whatever is asked, chained with the policy's steps."""

import math

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from prophrl_cell.arm import jog
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.jog import BASE, TOOL, Jog
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_cell.arm.shared_state import Source
from prophrl_core import action, se3
from prophrl_core.action import ActionSpec
from prophrl_core.cell import load_cell
from prophrl_core.chunk_schedule import Chunk

CELL = load_cell("sim")
ENVELOPE = Envelope(CELL, ActionSpec())
DT = 0.008
HOME = np.array(CELL.robot.home)
NAN = math.nan


class Drive:
    """A motion with its path of joints (N, 6) and the limits met."""

    def __init__(self, q=HOME):
        self.t, self.motion = 50.0, Motion(ENVELOPE, q, 1.0, DT, 50.0)
        self.start, self.path, self.met = self.motion.T.copy(), [q, q], []

    def run(self, seconds, twist=None, frame=BASE, openness=NAN):
        for _ in range(max(1, round(seconds / DT))):
            if twist is not None:
                self.motion.jog(Jog(np.array(twist, dtype=float), frame, openness, self.t), self.t)
            self.t += DT
            q, clamps = self.motion.step(self.t)
            self.path.append(q)
            self.met += clamps
        return self

    def chunk(self, velocity, sequence, observed_ago=0.0):
        actions = np.zeros((20, 7))
        actions[:, :3], actions[:, 6] = np.array(velocity) * 0.1, 0.5
        return self.motion.follow(Chunk(actions, 0.1, self.t - observed_ago, sequence), self.t)

    def rest(self):
        self.motion.brake()
        while not self.motion.resting:
            self.run(DT)
        return self


@pytest.mark.parametrize(
    ("frame", "twist", "moved"),
    [
        (BASE, (0, 0.1, 0, 0, 0, 0), (0, 0.2, 0, 0, 0, 0)),
        (TOOL, (0, 0.1, 0, 0, 0, 0), (0, -0.2, 0, 0, 0, 0)),
        (TOOL, (0, 0, 0.05, 0, 0, 0), (0, 0, -0.1, 0, 0, 0)),
        (BASE, (0, 0, 0, 0, 0, 0.3), (0, 0, 0, 0, 0, 0.6)),
        (TOOL, (0, 0, 0, 0, 0, 0.3), (0, 0, 0, 0, 0, -0.6)),
        (BASE, (0.06, 0, 0, 0, 0.1, 0), (0.12, 0, 0, 0, 0.2, 0)),
    ],
)
def test_moves_the_right_way_at_the_right_scale_about_the_tcp(frame, twist, moved):
    drive = Drive().run(2.0, twist, frame, openness=0.25).rest()
    T = drive.motion.T
    assert np.allclose(T[:3, 3] - drive.start[:3, 3], moved[:3], atol=0.004)
    assert np.allclose(se3.matrix_to_rotvec(T[:3, :3] @ drive.start[:3, :3].T), moved[3:], atol=0.02)
    assert drive.met == [] and drive.motion.openness == 0.25


def test_takes_over_from_a_chunk_and_from_a_move_without_a_jump_and_brakes_when_told():
    for begin in (lambda d: d.chunk((0.2, 0.1, 0.0), 1), lambda d: d.motion.move(HOME + 0.1, 0.6, d.t)):
        drive = Drive()
        assert begin(drive) is None
        drive.run(0.5).run(0.5, (0, -0.2, 0, 0, 0, 0)).rest()
        qd = np.diff(np.array(drive.path), axis=0) / DT
        assert np.abs(np.diff(qd, axis=0)).max() / DT <= CELL.envelope.joint_acceleration * 1.001
        assert np.abs(qd[60]).max() > 0.05 and not qd[-1].any()


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("finite", {"twist": [0, NAN, 0, 0, 0, 0]}),
        ("finite", {"twist": [0, 0, 0, 0, -math.inf, 0]}),
        ("twist_magnitude", {"twist": [0.5, 0.5, 0, 0, 0, 0]}),
        ("twist_magnitude", {"twist": [0, 0, 0, 0, 0, 1e300]}),
        ("frame", {"frame": 7}),
        ("openness", {"openness": -3.0}),
        ("openness", {"openness": math.inf}),
    ],
)
def test_what_no_operator_means_is_refused_by_name(limit, changes):
    good = {"twist": np.array([0.1, 0, 0, 0, 0, 0.2]), "frame": TOOL, "openness": NAN, "since": 0.0}
    assert jog.check(Jog(**good), ActionSpec()) is None
    spoilt = Jog(**(good | {k: np.array(v, dtype=float) if k == "twist" else v for k, v in changes.items()}))
    assert jog.check(spoilt, ActionSpec()).limit == limit


TWIST = st.tuples(
    *[st.sampled_from([-0.34, -0.1, 0.0, 0.1, 0.34])] * 3, *[st.sampled_from([-1.9, -0.3, 0.0, 0.3, 1.9])] * 3
)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.lists(st.tuples(TWIST, st.sampled_from([BASE, TOOL]), st.integers(1, 120)), min_size=1, max_size=6))
@example([((0.0, -0.34, 0.0, -1.9, 0.0, 1.9), BASE, 100), ((-0.1, 0.1, -0.34, 1.9, -1.9, -1.9), BASE, 158)])  # elbow
@example([((0, 0.1, 0.1, 1.9, -0.3, -1.9), BASE, 17), ((0.34, -0.34, 0.34, -0.3, 0.3, 0), TOOL, 91),
          ((0, -0.34, -0.1, 0, -0.3, 0), TOOL, 36)])  # fmt: skip
def test_no_sequence_of_twists_leaves_the_envelope(asked):
    drive = Drive()
    for twist, frame, cycles in asked:
        drive.run(cycles * DT, twist, frame)
    drive.rest()
    path = np.array(drive.path)
    T = np.array([ENVELOPE.tcp(q) for q in path])
    outside, tilted = np.array([ENVELOPE.beyond(pose) for pose in T]).max(axis=0)
    assert outside <= 3e-3 and tilted <= 0.02  # the joints brake on a slight curve
    assert np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1).max() / DT <= CELL.envelope.tcp_speed * 1.005
    qd = np.diff(path, axis=0) / DT
    assert np.abs(qd).max() <= CELL.envelope.joint_speed + 1e-6
    assert np.abs(np.diff(qd, axis=0)).max() / DT <= CELL.envelope.joint_acceleration * 1.001
    assert (path >= ENVELOPE.joint_low).all() and (path <= ENVELOPE.joint_high).all()


def test_slides_along_a_wall_and_says_so_once_met():
    drive = Drive().run(3.0, (0.0, 0.2, 0.05, 0, 0, 0)).run(0.5, (0.0, 0.2, -0.05, 0, 0, 0))
    T = drive.motion.T
    assert T[1, 3] == pytest.approx(CELL.envelope.workspace_max[1], abs=1e-3)
    assert T[2, 3] == pytest.approx(drive.start[2, 3] + 0.15 - 0.025, abs=0.006)
    assert {c.limit for c in drive.met} == {"workspace"}
    assert any(s.clamped for s in drive.motion.steps.executed)
    assert np.allclose(drive.motion.steps.executed[-1].proposed[1], -0.02, atol=2e-3)


def test_a_jog_faster_than_the_envelope_is_clamped_to_its_speed():
    drive = Drive().run(0.5, (0.0, 0.59, 0.0, 0, 0, 0))
    assert {c.limit for c in drive.met} == {"tcp_speed"}


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("jog"), st.sampled_from([-0.1, 0.1]), st.integers(1, 40), st.sampled_from([BASE, TOOL])),
        st.tuples(st.just("chunk"), st.sampled_from([-0.06, 0.06]), st.integers(1, 40), st.floats(0.0, 0.1)),
        st.tuples(st.just("guide"), st.sampled_from([-0.05, 0.05]), st.integers(1, 40)),
        st.tuples(st.just("rest")),
    ),
    min_size=2, max_size=8,
)  # fmt: skip


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(MOVES)
def test_executed_steps_chain_to_the_whole_motion_over_hand_overs_in_every_direction(moves):
    drive = Drive()
    for number, (kind, *how) in enumerate(moves):
        if kind == "rest":
            drive.rest()
        elif kind == "jog":
            drive.run(how[1] * DT, (0.03, how[0], 0, 0, 0, how[0]), how[2], openness=0.7)
        elif kind == "guide":
            by_hand(drive.rest(), how[0], how[1])
        else:
            if drive.motion.doing is Doing.JOGGING:
                drive.rest()
            drive.chunk((0.02, how[0], 0.0), number, min(how[2], drive.t - 50.0))
            drive.run(how[1] * DT)
    drive.rest()
    steps = drive.motion.steps.executed
    actions = np.array([s.executed for s in steps]) if steps else np.zeros((0, 7))
    total = action.integrate(drive.start, actions)[0][-1] if steps else drive.start
    assert np.allclose(total, drive.motion.T, atol=1e-6)
    assert all(s.observation_age >= 0.0 for s in steps)
    keys = [(s.source, s.sequence, s.step) for s in steps]
    assert len(keys) == len(set(keys))
    assert [s.end for s in steps] == sorted(s.end for s in steps)


def by_hand(drive, speed, cycles):
    """Somebody moves the freed arm sideways, measured joints coming in each cycle."""
    q = drive.motion.q.copy()
    drive.motion.guide(drive.t)
    for _ in range(cycles):
        q[0] += speed * DT
        drive.t += DT
        drive.motion.guided(q, NAN, drive.t)
        drive.motion.step(drive.t)
    drive.motion.rest_at(q, drive.t)


def test_control_steps_of_a_jog_come_at_the_action_rate_with_what_was_asked_beside():
    drive = Drive().run(1.0, (0, 0.1, 0, 0, 0, 0)).rest()
    steps = drive.motion.steps.executed
    assert [s.step for s in steps] == list(range(10)) and {s.source for s in steps} == {Source.TELEOP}
    assert np.allclose(np.diff([s.end for s in steps[:-1]]), 0.1, atol=DT)
    asked = np.array([s.proposed[:3] for s in steps]).sum(axis=0)
    assert np.allclose(asked, (0, -0.1, 0), atol=1e-6) and not any(s.clamped for s in steps)


def outside_by(place=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)):
    """Joints (6,) with the tool beyond the top wall by ``place`` (m), turned by a rotation vector (rad)."""
    T = ENVELOPE.tcp(HOME)
    T[2, 3] = ENVELOPE.box[1, 2]
    T = se3.transform(se3.rotvec_to_matrix(np.array(turn)) @ T[:3, :3], T[:3, 3] + place)
    q = HOME
    for part in np.linspace(0.0, 1.0, 60)[1:]:
        step = se3.transform(
            se3.rotvec_to_matrix(np.array(turn) * part) @ ENVELOPE.tcp(HOME)[:3, :3],
            (1 - part) * ENVELOPE.tcp(HOME)[:3, 3] + part * T[:3, 3],
        )
        q = ENVELOPE.joints(step, q)
    return q


@pytest.mark.parametrize("twist", [(0, 0, 0, 0, 0, 0), (0, 0, 0.02, 0, 0, 0), (0, 0, 0.5, 0.3, 0, 0)])
def test_outside_the_box_nothing_moves_that_was_not_asked_to(twist):
    drive = Drive(outside_by(place=(0.0, 0.0, 0.05))).run(1.0, twist)
    assert ENVELOPE.beyond(drive.start)[0] == pytest.approx(0.05, abs=1e-6)
    assert np.allclose(drive.motion.T[:3, 3], drive.start[:3, 3], atol=1e-6)


def test_from_outside_it_comes_back_at_the_speed_that_was_asked_for_and_stays_in():
    drive = Drive(outside_by(place=(0.0, 0.0, 0.03)))
    heights = [drive.start[2, 3]]
    for _ in range(250):
        heights.append(drive.run(DT, (0, 0, -0.02, 0, 0, 0)).motion.T[2, 3])
    change = np.diff(heights) / DT
    assert change.min() >= -0.0201 and change.max() <= 1e-9 and ENVELOPE.beyond(drive.motion.T)[0] < 0.0
    drive.run(2.0, (0, 0, 0.1, 0, 0, 0))
    assert ENVELOPE.beyond(drive.motion.T)[0] < 1e-6


def test_tilted_too_far_it_turns_only_as_asked():
    drive = Drive(outside_by(turn=(ENVELOPE.spec.max_tilt + 0.2, 0.0, 0.0)))
    tilt = ENVELOPE.beyond(drive.start)[1]
    assert tilt == pytest.approx(0.2, abs=1e-3)
    for rate in (0.0, 0.3):
        drive.run(0.5, (0, 0, 0, rate, 0, 0))
        assert ENVELOPE.beyond(drive.motion.T)[1] == pytest.approx(tilt, abs=1e-3)
    drive.run(1.0, (0, 0, 0, -0.1, 0, 0))
    assert ENVELOPE.beyond(drive.motion.T)[1] == pytest.approx(tilt - 0.1, abs=0.02)
