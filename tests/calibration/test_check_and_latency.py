"""A bumped camera is noticed and one in place is not; late stamps are measured to milliseconds."""

import numpy as np
import pytest
from prophrl_calibration import check, latency
from prophrl_calibration.bench_check import bump
from prophrl_core import se3
from prophrl_core.errors import UserError

from calibration import synthetic_views as synthetic


def test_a_bump_of_5_mm_or_half_a_degree_is_caught_and_nothing_else():
    for seed in range(20):
        problem = synthetic.problem(synthetic.varied(check.POSES, seed), seed=seed)
        knocked = synthetic.T_BASE_CAMERA @ se3.pose_from_rotvec(bump(seed))
        assert not check.judge(problem, synthetic.T_BASE_CAMERA).bumped
        assert "run: prophrl calibrate hand-eye" in str(check.judge(problem, knocked))


def waving(t):
    return 0.04 * np.stack([np.sin(5.1 * t), np.cos(3.7 * t), np.sin(2.3 * t)], -1)


@pytest.mark.parametrize("delay", [-0.02, 0.0, 0.03, 0.08])
def test_late_stamps_are_measured(delay):
    rng = np.random.default_rng(0)
    exposed, times = 0.5 + np.arange(90) / 30, np.arange(0, 4.5, 0.008)
    turn = np.array([[0.0, 60.0, 10.0], [-20.0, 5.0, 70.0]])
    flow = np.diff(waving(exposed), axis=0, prepend=waving(exposed[:1] - 1 / 30)) @ turn.T + 0.005 * rng.normal(
        size=(90, 2)
    )
    found = latency.measure(exposed + delay, flow, times, waving(times))
    assert abs(found.seconds - delay) < 0.003 and found.fit > 0.9


def test_pictures_that_do_not_move_with_the_arm_give_no_delay():
    exposed, times = 0.5 + np.arange(90) / 30, np.arange(0, 4.5, 0.008)
    with pytest.raises(UserError, match="move with the arm"):
        latency.measure(exposed, np.random.default_rng(0).normal(size=(90, 2)), times, waving(times))
    with pytest.raises(UserError, match="pictures or more"):
        latency.measure(exposed[:20], np.zeros((20, 2)), times, waving(times))
