"""Figures: intervals against published values, what is printed, what is written."""

import json

import numpy as np
import pytest
from prophrl_core.figures import Figure, mean_interval, report, success_figure, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals_are_those_of_newcombe_1998(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_the_bootstrap_interval_of_a_mean_is_seeded_and_near_the_normal_one():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = mean_interval(values, 1)
    assert (low, high) == mean_interval(values, 1) != mean_interval(values, 2)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert mean_interval([4.0, 4.0, 4.0], 0) == (4.0, 4.0)
    assert mean_interval([4.0], 0) == (None, None), "one value has no interval"


def test_figures_are_printed_with_their_interval_and_rival_and_written(capsys, tmp_path):
    rate = success_figure("policy.success", 3, 4, seed=7)
    speed = Figure("speed", 12.0, "1/s", 5, against={"name": "the other", "value": 3.0})
    report([rate, speed], tmp_path / "new" / "f.json")
    assert capsys.readouterr().out.splitlines() == [
        "policy.success  0.75 fraction, n = 4, 0.30064 to 0.95441",
        "speed           12 1/s, n = 5   (the other: 3)",
    ]
    first, second = json.loads((tmp_path / "new" / "f.json").read_text())["figures"]
    assert (first["name"], first["seed"], first["low"]) == ("policy.success", 7, pytest.approx(0.30064, abs=1e-5))
    assert second["against"] == {"name": "the other", "value": 3.0}
