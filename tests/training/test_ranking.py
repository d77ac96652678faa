"""Ranking within groups and agreement of verdicts, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_core.errors import UserError
from prophrl_core.figures import mean_interval
from prophrl_training.ranking import agreement, group_aucs, within_group_auc


def test_auc_by_hand_with_ties():
    scores = [[0.9, 0.4, 0.4, 0.1], [0.2, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4]]
    outcomes = [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    # first: 0.9 beats both, 0.4 ties one and beats one: 3.5 / 4; second: 0 / 3; third has one outcome only
    np.testing.assert_allclose(group_aucs(scores, outcomes), [0.875, 0.0])
    auc, groups, error = within_group_auc(scores, outcomes)
    assert auc == pytest.approx(0.4375) and groups == 2
    assert error == pytest.approx(0.4375), "half the distance of two values is their standard error"


def test_a_constant_score_ranks_nothing():
    assert within_group_auc(np.ones((3, 4)), [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]])[:2] == (0.5, 3)


def test_differences_between_groups_do_not_count():
    """Pooled, these scores look perfect; inside each group they are the wrong way round."""
    scores = np.array([[0.90, 0.91, 0.92, 0.93], [0.10, 0.11, 0.12, 0.13]])
    assert within_group_auc(scores, [[1, 1, 1, 0], [1, 0, 0, 0]]).auc == 0.0


@pytest.mark.parametrize("outcomes", [[[0, 0], [1, 1]], np.zeros((0, 4))])
def test_groups_without_both_outcomes_say_nothing(outcomes):
    auc, groups, error = within_group_auc(np.zeros_like(outcomes, float), outcomes)
    assert math.isnan(auc) and groups == 0 and math.isnan(error)


def test_one_group_has_no_standard_error():
    auc, groups, error = within_group_auc([[0.2, 0.1]], [[True, False]])
    assert (auc, groups) == (1.0, 1) and math.isnan(error)


@given(st.integers(0, 10_000))
def test_auc_is_the_share_of_pairs_and_its_mirror(seed):
    rng = np.random.default_rng(seed)
    scores, outcomes = rng.integers(0, 4, (5, 6)).astype(float), rng.integers(0, 2, (5, 6))
    expected = []
    for s, o in zip(scores, outcomes, strict=True):
        pairs = [(a > b) + 0.5 * (a == b) for a in s[o == 1] for b in s[o == 0]]
        if pairs:
            expected.append(np.mean(pairs))
    np.testing.assert_allclose(group_aucs(scores, outcomes), expected)
    np.testing.assert_allclose(group_aucs(-scores, outcomes), 1 - np.array(expected))


def test_bootstrap_is_seeded_and_as_wide_as_the_standard_error():
    rng = np.random.default_rng(0)
    outcomes = rng.integers(0, 2, (200, 8))
    scores = outcomes + rng.normal(0, 1.0, outcomes.shape)
    auc, _, error = within_group_auc(scores, outcomes)
    aucs = group_aucs(scores, outcomes)
    low, high = mean_interval(aucs, 3)
    assert (low, high) == mean_interval(aucs, 3) != mean_interval(aucs, 4)
    assert low < auc < high and high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert auc == pytest.approx(0.76, abs=0.04), "two unit Gaussians one apart: Phi(1 / sqrt 2) = 0.760"


@pytest.mark.parametrize(
    ("scores", "outcomes"),
    [([[1.0, 2.0]], [[1]]), ([1.0, 2.0], [1, 0]), ([[math.nan, 1.0]], [[1, 0]]), ([[0.5, 1.0]], [[1, 2]])],
)
def test_what_cannot_be_ranked_is_refused(scores, outcomes):
    with pytest.raises(UserError, match="ranking: expected"):
        within_group_auc(scores, outcomes)


def test_agreement_by_hand():
    found = agreement([1, 1, 1, 0, 0, 0, 0], np.array([1, 1, 0, 1, 0, 0, 0], bool))
    assert (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives) == (2, 1, 1, 3)
    figures = {f.name: f for f in found.figures("reward.real", 5)}
    assert figures["reward.real.recall"].value == pytest.approx(2 / 3) and figures["reward.real.recall"].n == 3
    assert figures["reward.real.precision"].value == pytest.approx(2 / 3)
    assert figures["reward.real.accuracy"].value == pytest.approx(5 / 7) and figures["reward.real.accuracy"].seed == 5
    assert figures["reward.real.recall"].low == pytest.approx(0.2077, abs=1e-4), "Wilson, 2 of 3"
    assert [f.name for f in agreement([0, 0], [0, 0]).figures("x", None)] == ["x.accuracy"]
    with pytest.raises(UserError, match="two boolean arrays"):
        agreement([1, 0], [1])
