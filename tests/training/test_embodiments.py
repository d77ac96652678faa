"""Embodiment cards: every convention against a truth that is known, written in the datasets' own column layouts.

The foreign columns are made with scipy's rotations (foreign_layouts), the cards read them with ours.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_core import se3
from prophrl_core.action import integrate
from prophrl_core.errors import UserError
from prophrl_training.embodiments.agreement import agreement, check_card, contradictions
from prophrl_training.embodiments.card import CARDS, available, load_card
from prophrl_training.embodiments.mapping import map_episode
from prophrl_training.embodiments.matching import DatasetFacts, match_card
from prophrl_training.embodiments.resample import resample
from prophrl_training.embodiments.rotation_encoding import ENCODINGS, to_matrix

Rotation = pytest.importorskip("scipy.spatial.transform").Rotation

from foreign_layouts import (  # noqa: E402
    LAYOUTS,
    Truth,
    agibot_world,
    droid_lerobot,
    fractal_openx,
    libero_hdf5,
    libero_openx,
)

angles = st.floats(-np.pi, np.pi, allow_nan=False)
triples = st.tuples(angles, angles, angles)


@given(triples, st.sampled_from([e for e in ENCODINGS if e.startswith("euler_")]))
def test_euler_angles_are_scipys(values, encoding):
    expected = Rotation.from_euler(encoding.removeprefix("euler_"), values).as_matrix()
    np.testing.assert_allclose(to_matrix(np.array(values), encoding), expected, atol=1e-12)


@given(triples)
def test_rotation_vectors_and_quaternions_are_scipys(values):
    rotation = Rotation.from_rotvec(values)
    quaternion = rotation.as_quat()
    for encoding, numbers in (
        ("rotvec", np.array(values)), ("quat_xyzw", quaternion), ("quat_wxyz", np.roll(quaternion, 1))
    ):  # fmt: skip
        np.testing.assert_allclose(to_matrix(numbers, encoding), rotation.as_matrix(), atol=1e-9)


def test_every_card_has_a_layout_to_be_tested_with():
    assert set(LAYOUTS) == set(available())


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_mapped_poses_targets_and_gripper_are_the_truth(name, dtype):
    truth, card = Truth(), load_card(name)
    columns = {key: values.astype(dtype) for key, values in LAYOUTS[name](truth).items()}
    mapped = map_episode(card, columns)
    late = slice(1, None) if card.arm().state.after_action else slice(None)  # the first action's start is not stored
    limit = 1e-6
    np.testing.assert_allclose(mapped.pose, truth.poses[:-1][late], atol=limit)
    reached = card.arm().actions[0].meaning == "reached"
    expected = truth.poses[1:] if reached else truth.targets
    np.testing.assert_allclose(mapped.target, expected[late], atol=limit)
    np.testing.assert_allclose(mapped.command, truth.command[late], atol=limit)
    np.testing.assert_allclose(mapped.openness, truth.openness[:-1][late], atol=limit)


@pytest.mark.parametrize("name", LAYOUTS)
def test_actions_integrate_to_the_targets_and_the_card_is_believed(name):
    card, columns = load_card(name), LAYOUTS[name](Truth())
    mapped = map_episode(card, columns)
    poses, openness = integrate(mapped.pose[0], mapped.actions)
    np.testing.assert_allclose(poses, mapped.target, atol=1e-6)
    np.testing.assert_allclose(openness, mapped.command)
    (found,) = check_card(card, [columns])
    assert found.translation > 0.99 and found.rotation > 0.99 and found.gripper > 0.95 and found.lag == 0
    assert found.gain == pytest.approx(1.0 if name == "bridge_openx" else 0.8, abs=1e-4)
    assert found.rms_position < 0.004


def test_both_arms_of_agibot_are_read():
    right, left = Truth(seed=1), Truth(seed=2)
    card, columns = load_card("agibot_world"), agibot_world(right, left)
    np.testing.assert_allclose(map_episode(card, columns, "right").pose, right.poses[:-1], atol=1e-6)
    np.testing.assert_allclose(map_episode(card, columns, "left").pose, left.poses[:-1], atol=1e-6)
    with pytest.raises(UserError, match="right, left"):
        map_episode(card, columns, "third")


def changed(name, change):
    """A card with something wrong in its arm's columns."""
    card = load_card(name)
    arm_name, arm = next(iter(card.arms.items()))
    return dataclasses.replace(card, arms={arm_name: change(arm)})


def with_state(**parts):
    return lambda arm: dataclasses.replace(arm, state=dataclasses.replace(arm.state, **parts))


def with_action(**parts):
    return lambda arm: dataclasses.replace(
        arm, actions=(dataclasses.replace(arm.actions[0], **parts), *arm.actions[1:])
    )


def gripper_turned(arm):
    wrong = arm.actions[0].openness
    return with_action(openness=dataclasses.replace(wrong, closed=wrong.open, open=wrong.closed))(arm)


def euler_order_wrong(arm):
    other = dataclasses.replace(arm.state.rotation, encoding="euler_zyx")
    actions = tuple(
        dataclasses.replace(a, rotation=dataclasses.replace(a.rotation, encoding="euler_zyx")) for a in arm.actions
    )
    return dataclasses.replace(arm, state=dataclasses.replace(arm.state, rotation=other), actions=actions)


def scale_wrong(arm):
    position = arm.actions[0].position
    return with_action(position=dataclasses.replace(position, scale=20 * position.scale))(arm)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_gripper_read_the_wrong_way_round_is_refused(name):
    with pytest.raises(UserError, match=r"gripper correlates -1\.00"):
        check_card(changed(name, gripper_turned), [LAYOUTS[name](Truth(seed=s)) for s in range(3)])


@pytest.mark.parametrize("name", ["droid_lerobot", "droid_openx"])
def test_a_wrong_order_of_euler_angles_is_refused(name):
    """In droid_lerobot state and target are wrong alike; the velocity column tells."""
    with pytest.raises(UserError, match="rotation correlates"):
        check_card(changed(name, euler_order_wrong), [LAYOUTS[name](Truth(seed=s)) for s in range(3)])


def test_quaternions_read_in_the_wrong_order_are_refused():
    state = load_card("fractal_openx").arm().state
    wrong = changed("fractal_openx", with_state(rotation=dataclasses.replace(state.rotation, encoding="quat_wxyz")))
    with pytest.raises(UserError, match="rotation correlates"):
        check_card(wrong, [fractal_openx(Truth(seed=s)) for s in range(3)])


def test_deltas_in_the_wrong_frame_or_scale_are_refused():
    data = [libero_openx(Truth(seed=s)) for s in range(3)]
    with pytest.raises(UserError, match="translation correlates"):
        check_card(changed("libero_openx", with_action(frame="tool")), data)
    with pytest.raises(UserError, match=r"the arm moved 0\.04 of what was commanded"):
        check_card(changed("libero_openx", scale_wrong), data)


def test_liberos_rows_are_aligned_to_the_state_before_the_action():
    """Taking the state as measured before the action shows as motion one step early; the card's lag is 0."""
    truth = Truth(gain=1.0)
    columns = libero_hdf5(truth)
    right = agreement(map_episode(load_card("libero_hdf5"), columns))
    wrong = agreement(map_episode(changed("libero_hdf5", with_state(after_action=False)), columns))
    assert right.translation > 0.9999 > wrong.translation
    assert right.rms_position < 1e-9 and wrong.rms_position > 1e-3
    assert list(map_episode(load_card("libero_hdf5"), columns).rows[:3]) == [0, 1, 2]


def test_data_without_motion_says_nothing_and_data_without_commands_is_refused():
    truth = Truth(gain=0.0)
    truth.deltas[:], truth.command[:], truth.openness[:] = 0.0, 1.0, 1.0
    still = fractal_openx(truth)
    found = agreement(map_episode(load_card("fractal_openx"), still))
    assert np.isnan([found.translation, found.rotation, found.gripper]).all()
    assert contradictions(load_card("fractal_openx"), [found]) == []
    uncommanded = fractal_openx(Truth())
    uncommanded["action"][:, :6] = 0
    with pytest.raises(UserError, match=r"translation correlates 0\.00"):
        check_card(load_card("fractal_openx"), [uncommanded])


@pytest.mark.parametrize("rate", [5.0, 10.0, 15.0, 20.0, 30.0])
def test_resampling_keeps_the_path(rate):
    mapped = map_episode(load_card("droid_lerobot"), droid_lerobot(Truth(n=90)))
    other = resample(mapped, rate)
    assert other.rate_hz == rate and len(other.pose) == int(90 / 15 * rate)
    poses, _ = integrate(other.pose[0], other.actions)
    np.testing.assert_allclose(poses[-1], mapped.target[-1], atol=1e-9)
    if rate == 15.0:
        np.testing.assert_allclose(other.actions, mapped.actions, atol=1e-9)
        np.testing.assert_array_equal(other.rows, mapped.rows)
    if rate == 30.0:
        np.testing.assert_allclose(other.target[1::2], mapped.target, atol=1e-9)
        np.testing.assert_allclose(other.pose[::2], mapped.pose, atol=1e-9)
        np.testing.assert_array_equal(other.command[::2], mapped.command)
    if rate == 5.0:
        np.testing.assert_allclose(other.target, mapped.target[2::3], atol=1e-9)
        np.testing.assert_array_equal(other.rows, mapped.rows[::3])
        np.testing.assert_array_equal(other.command, mapped.command[2::3])


@given(st.integers(0, 50), st.floats(1.0, 40.0))
def test_resampled_targets_lie_on_the_path_of_constant_motion(seed, rate):
    """A truth that moves at one velocity: after resampling every action is that velocity times the new step."""
    n, step = 24, np.random.default_rng(seed).uniform(-1, 1, 6) * [0.01, 0.01, 0.01, 0.05, 0.05, 0.05]
    poses = [np.eye(4)]
    for _ in range(n):
        poses.append(poses[-1] @ se3.pose_from_rotvec(np.r_[0, 0, 0, step[3:]]))
    poses = np.array(poses)
    poses[:, :3, 3] = np.arange(n + 1)[:, None] * step[:3]
    t = Truth(n=n)
    t.poses, t.targets = poses, poses[1:]
    mapped = resample(map_episode(load_card("agibot_world"), agibot_world(t, t)), rate)
    turned = mapped.actions[:, 3:6]
    np.testing.assert_allclose(turned, np.broadcast_to(step[3:] * 30 / rate, turned.shape), atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(mapped.actions[:, :3], axis=1), np.linalg.norm(step[:3]) * 30 / rate, atol=1e-9
    )


def facts_of(card_name, **changes):
    """What a dataset of the card's family says of itself."""
    card = load_card(card_name)
    sizes = {key: size or 3 * 256 * 256 for key, size in card.match.features.items()}
    robot = card.match.robot_types[0]
    return dataclasses.replace(DatasetFacts(card.match.names[0], robot, sizes, dict(card.match.elements)), **changes)


@pytest.mark.parametrize("name", available())
def test_a_dataset_finds_its_card_whatever_its_folder_is_called(name):
    assert match_card(facts_of(name)).name == name
    if not name.startswith("libero_hdf5"):  # those are told apart by the file's attributes
        assert match_card(facts_of(name, name="copy_of_data")).name == name


def test_other_datasets_find_no_card():
    with pytest.raises(UserError, match="fits none of the cards"):
        match_card(facts_of("bridge_openx", robot_type="so100"))
    with pytest.raises(UserError, match="--card"):
        match_card(DatasetFacts("unknown", "", {"observation.state": 6, "action": 6}))
    joints = {"observation.state": tuple(f"motor_{i}" for i in range(8))}
    with pytest.raises(UserError, match="fits none"):
        match_card(facts_of("libero_openx", elements=joints))


def test_missing_narrow_and_infinite_columns_are_named():
    card, columns = load_card("fractal_openx"), fractal_openx(Truth())
    with pytest.raises(UserError, match="expected column 'action'"):
        map_episode(card, {"observation.state": columns["observation.state"]})
    with pytest.raises(UserError, match="at least 7 values a row in 'action', got 6"):
        map_episode(card, columns | {"action": columns["action"][:, :6]})
    bad = columns["action"].copy()
    bad[17, 2] = np.inf
    with pytest.raises(UserError, match="not finite in row 17"):
        map_episode(card, columns | {"action": bad})
    with pytest.raises(UserError, match="columns of one length"):
        map_episode(card, columns | {"action": columns["action"][:-3]})
    zero = columns["observation.state"].copy()
    zero[3, 3:7] = 0
    with pytest.raises(UserError, match="quaternion"):
        map_episode(card, columns | {"observation.state": zero})


def test_cards_are_strict(tmp_path):
    text = (CARDS / "fractal_openx.yaml").read_text()
    for change, message in (
        (("encoding: quat_xyzw", "encoding: quaternion"), "expected an encoding"),
        (("        frame: base", "        frame: world"), "expected one of base, tool"),
        (("rate_hz: 3", "rate_hz: 0"), "rates above 0"),
        (("kind: delta", "kind: delta\n        surprise: 1"), "unknown field 'surprise'"),
        (("closed: 1.0, open: 0.0", "closed: 1.0, open: 1.0"), "to differ"),
    ):
        (tmp_path / "fractal_openx.yaml").write_text(text.replace(*change, 1))
        with pytest.raises(UserError, match=message):
            load_card(tmp_path / "fractal_openx.yaml")
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(UserError, match="as the file is called"):
        load_card(tmp_path / "other.yaml")
    with pytest.raises(UserError, match="is not known; give one of agibot_world"):
        load_card("nonsense")
    for name in available():
        card = load_card(name)
        assert card.sources and all(s.url.startswith("https://") for s in card.sources) and card.unverified
