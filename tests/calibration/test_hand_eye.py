"""Camera and target pose from views: accuracy, stated uncertainty, outliers, and what is refused with which advice."""

import dataclasses

import numpy as np
import pytest
from prophrl_calibration import diagnosis, diversity, hand_eye, held_out, refine
from prophrl_calibration.bench_hand_eye import error
from prophrl_core import se3
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError

from calibration import synthetic_views as synthetic


def test_finds_the_camera_within_what_it_states_in_nine_of_ten_runs():
    inside, held = [], []
    for seed in range(30):
        problem = synthetic.problem(synthetic.varied(12, seed), seed=seed)
        solution = refine.solve(problem)
        off = error(solution.X, synthetic.T_BASE_CAMERA)
        inside += [off[k] <= solution.radius()[k] for k in (0, 1)]
        held.append(off[0])
    assert np.median(held) < 1e-4
    assert 0.78 <= np.mean(inside) <= 0.99


def test_the_tcp_is_measured_where_the_tool_holds_the_board_by_its_make():
    outcome = hand_eye.calibrate(synthetic.problem(synthetic.varied(12)))
    T_tool0_tcp = se3.transform(np.eye(3), np.array([0.001, -0.002, 0.165]))
    T_tcp_target = se3.inverse(T_tool0_tcp) @ synthetic.facing()
    found, radius = hand_eye.measured_tcp(outcome, T_tcp_target)
    assert error(found, T_tool0_tcp)[0] < 2 * radius[0] < 1e-3


def test_views_where_the_arm_was_elsewhere_are_named_and_left_out():
    problem = synthetic.spoiled(synthetic.spoiled(synthetic.problem(synthetic.varied(12)), 3, 0.01), 7, -0.006)
    solution = refine.solve(problem)
    assert [problem.views[i].name for i in solution.outliers] == ["pose 4", "pose 8"]
    assert error(solution.X, synthetic.T_BASE_CAMERA)[0] < 3e-4
    assert held_out.residuals(problem, solution).pixels < 0.3


def test_held_out_residuals_grow_with_the_noise_of_the_corners():
    clear, noisy = (synthetic.problem(synthetic.varied(12), noise) for noise in (0.05, 0.5))
    small, large = (held_out.residuals(p, refine.solve(p)) for p in (clear, noisy))
    assert large.position > 4 * small.position and large.direction > 4 * small.direction


def turning(axis, n: int = 10):
    rng = np.random.default_rng(1)
    return [synthetic.tool(0.08 * rng.uniform(-1, 1, 3), a * np.array(axis)) for a in np.linspace(-0.35, 0.35, n)]


def degenerate_sets():
    rng = np.random.default_rng(0)
    normal = synthetic.facing()[:3, 2]
    return {
        "take more": synthetic.varied(4),
        "spread them": [synthetic.tool(0.004 * rng.uniform(-1, 1, 3), 0.01 * rng.normal(size=3)) for _ in range(10)],
        "pure translation": [synthetic.tool(0.1 * rng.uniform(-1, 1, 3), np.zeros(3)) for _ in range(10)],
        "turn the wrist about X or Z": turning((0.0, 1.0, 0.0)),
        "always at the same one": turning(normal),
    }


@pytest.mark.parametrize("advice", degenerate_sets())
def test_degenerate_sets_are_refused_with_the_advice_that_helps(advice):
    with pytest.raises(UserError, match=advice) as refusal:
        diversity.assess(synthetic.problem(degenerate_sets()[advice]))
    assert "\n" not in str(refusal.value)


def test_a_weak_set_is_taken_and_the_axis_that_lacks_is_named():
    rng = np.random.default_rng(0)
    lame = [synthetic.tool(0.1 * rng.uniform(-1, 1, 3), [0.4, 0.12, 0.4] * rng.uniform(-1, 1, 3)) for _ in range(15)]
    weak = [synthetic.tool(0.1 * rng.uniform(-1, 1, 3), [0.4, 0.12, 0.12] * rng.uniform(-1, 1, 3)) for _ in range(15)]
    assert diversity.assess(synthetic.problem(lame)).score > diversity.assess(synthetic.problem(weak)).score
    assert "rotate the wrist more about" in diversity.assess(synthetic.problem(weak)).advice


def test_arm_poses_in_millimetres_are_named():
    poses = synthetic.varied(10)
    problem = synthetic.problem(poses)
    views = []
    for view in problem.views:
        T = view.T_base_tool0.copy()
        T[:3, 3] *= 1000
        views.append(dataclasses.replace(view, T_base_tool0=T))
    with pytest.raises(UserError, match="millimetres"):
        diagnosis.check_units(dataclasses.replace(problem, views=tuple(views)))
    diagnosis.check_units(problem)


def test_a_board_printed_too_small_is_named_with_its_true_size():
    problem = synthetic.problem(synthetic.varied(15), target=synthetic.TARGET.scaled(0.0309))
    with pytest.raises(UserError, match=r"motion says 30\.0\d mm"):
        diagnosis.check_fit(problem, refine.solve(problem))


def test_stale_intrinsics_are_named():
    problem = synthetic.problem(synthetic.varied(15), camera=dataclasses.replace(synthetic.CAMERA, fx=640.0, fy=640.0))
    with pytest.raises(UserError, match=r"focal length -3\.\d %"):
        diagnosis.check_fit(problem, refine.solve(problem))


def test_a_good_set_raises_no_alarm():
    for seed in range(5):
        problem = synthetic.problem(synthetic.varied(12, seed), seed=seed)
        diversity.assess(problem)
        diagnosis.check_fit(problem, refine.solve(problem))


def test_swapped_cameras_are_named():
    cell = load_cell("sim")
    front = cell.camera("front")
    side = dataclasses.replace(front, name="side", T_base_camera=(0.5, 0.9, 0.7, 1.9, 0.3, 0.2))
    both = dataclasses.replace(cell, cameras=(front, side))
    with pytest.raises(UserError, match="swapped"):
        diagnosis.check_place(both, "front", refine.moved(side.pose, np.full(6, 0.01)))
    diagnosis.check_place(both, "front", refine.moved(front.pose, np.full(6, 0.02)))


def test_an_arm_that_moves_during_the_shot_is_noticed():
    t = np.arange(0.0, 1.0, 0.008)
    resting, creeping = np.zeros((len(t), 6)), np.outer(t, [0, 0, 0, 0, 0.002, 0])
    assert diagnosis.still(t, resting, 0.3, 0.8)
    assert not diagnosis.still(t, creeping, 0.3, 0.8)
    assert not diagnosis.still(t, resting, 0.8, 1.4), "no samples: not known to rest"
