"""Normalisation: exact inverse, safe ranges, and statistics that must match."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_core.errors import UserError
from prophrl_policy.normalisation import SMALLEST_RANGE, Statistics


def measured(seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.normal(0, [0.01, 0.01, 0.01, 0.05, 0.05, 0.05, 0], (500, 7))
    actions[:, 6] = rng.integers(0, 2, 500)
    return Statistics.measure(actions, rng.normal(0.3, 0.1, (500, 10)))


@given(st.lists(st.floats(-0.05, 0.05), min_size=6, max_size=6), st.floats(0, 1))
def test_restore_inverts_normalise(motion, openness):
    statistics, action = measured(), np.array([*motion, openness])
    np.testing.assert_allclose(statistics.restore_actions(statistics.normalise_actions(action)), action, atol=1e-7)


def test_percentiles_become_one_and_openness_stays_in_range():
    statistics = measured()
    np.testing.assert_allclose(statistics.normalise_actions(statistics.action_high_D), 1.0, atol=1e-6)
    np.testing.assert_allclose(statistics.normalise_actions(statistics.action_low_D), -1.0, atol=1e-6)
    assert statistics.restore_actions(np.full(7, 9.0))[6] == 1.0
    assert statistics.restore_actions(np.full(7, -9.0))[6] == 0.0


def test_unused_dimension_gets_a_safe_range():
    statistics = Statistics.measure(np.zeros((50, 7)), np.zeros((50, 10)))
    np.testing.assert_allclose(statistics.action_high_D - statistics.action_low_D, SMALLEST_RANGE, rtol=1e-6)
    assert np.isfinite(statistics.normalise_proprio(np.zeros(10))).all()


def test_digest_follows_every_value_and_mismatch_is_refused():
    one, other = measured(0), measured(1)
    assert one.digest == measured(0).digest != other.digest
    nudged = dataclasses.replace(one, proprio_std_P=np.nextafter(one.proprio_std_P, np.float32(9)))
    with pytest.raises(UserError, match=f"trained with {one.digest}.*carries {nudged.digest}"):
        nudged.require(one.digest, "policy.onnx")
    one.require(one.digest, "policy.onnx")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.pop("action_low_D"),
        lambda a: a.update(extra=np.zeros(3, np.float32)),
        lambda a: a.update(proprio_std_P=np.zeros(10, np.float32)),
        lambda a: a.update(action_low_D=np.full(7, np.nan, np.float32)),
        lambda a: a.update(action_low_D=a["action_high_D"]),
    ],
)
def test_broken_statistics_are_refused_in_one_line(spoil):
    arrays = measured().arrays()
    spoil(arrays)
    with pytest.raises(UserError) as error:
        Statistics.from_arrays(arrays)
    assert "\n" not in str(error.value)
