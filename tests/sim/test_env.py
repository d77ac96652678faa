"""The fast environment: deterministic, faithful to the commanded actions, honest about latency."""

import functools

import gymnasium.utils.env_checker
import numpy as np
import pytest
from prophrl_core import action, se3
from prophrl_core.cell import load_cell
from prophrl_core.task import load_task
from prophrl_sim import vector_env
from prophrl_sim.env import CellEnv, run_policy_episode
from prophrl_sim.experts import expert_for
from prophrl_sim.imperfection import Imperfections

CELL, TASK = load_cell("sim"), load_task("grasp_bottle")


@pytest.fixture(scope="module")
def env():
    env = CellEnv(CELL, TASK, images=False)
    yield env
    env.close()


def expert_actions(env, seed):
    """All actions of the plain expert on one scene, and whether it succeeded."""
    env.reset(seed=seed)
    expert, actions = expert_for(TASK)(env, np.random.default_rng(0)), []
    while not env.over:
        actions.append(next(expert))
        env.step(actions[-1])
    return np.array(actions), env.success


def wander(env, seed):
    """Final truth and proprioception after some fixed random actions."""
    rng = np.random.default_rng(7)
    env.reset(seed=seed)
    for _ in range(8):
        a = np.append(rng.normal(0, 0.01, 3), [*rng.normal(0, 0.03, 3), rng.random()])
        env.step(a)
    return np.concatenate([env.truth()["bottle"].ravel(), env.proprio(), env.plant.q])


def test_it_is_a_gymnasium_environment():
    env = CellEnv(CELL, TASK)
    try:
        gymnasium.utils.env_checker.check_env(env, skip_render_check=True)
    finally:
        env.close()


def test_seed_and_actions_decide_everything_in_any_process(env):
    here = [wander(env, 3), wander(env, 4), wander(env, 3)]
    assert np.array_equal(here[0], here[2]) and not np.array_equal(here[0], here[1])
    elsewhere = list(vector_env.play_episodes(wander, [3, 4], CELL, TASK, processes=2))
    assert np.array_equal(here[:2], elsewhere)


def test_the_commanded_pose_is_the_integral_of_the_actions_and_the_arm_is_there(env):
    env.reset(seed=1)
    T = env.commanded_pose.copy()
    turn = [0.0, 0.02, 0.03]
    for k in range(15):
        a = np.array([0.006, -0.008, 0.01, *turn, 1.0])
        env.step(a)
        T = T @ se3.pose_from_rotvec(a[:6])
        assert env.proprio() == pytest.approx(action.proprioception(T, 1.0), abs=1e-12)
        if k > 3:
            lag = CELL.robot.servo_lookahead * 0.142 / np.sqrt(2)  # servoJ's lag at 0.142 m/s and gain 600
            assert np.linalg.norm(env.plant.tcp_pose[:3, 3] - T[:3, 3]) < lag + 0.003
    for _ in range(5):
        env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
    assert env.plant.tcp_pose == pytest.approx(T, abs=2e-3)
    assert env.motion.time == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.zeros(6), [np.inf, 0, 0, 0, 0, 0, 1]])
def test_actions_that_are_no_actions_are_refused(env, bad):
    env.reset(seed=1)
    with pytest.raises(ValueError, match="expected finite actions"):
        env.step(bad)


def test_an_oversized_action_is_cut_to_the_largest_step(env):
    env.reset(seed=1)
    before = env.commanded_pose.copy()
    env.step(np.array([0.0, 3.0, -4.0, 0, 0, 0, 5.0]))
    moved = env.commanded_pose[:3, 3] - before[:3, 3]
    assert np.linalg.norm(moved) == pytest.approx(TASK.action.max_translation)
    assert env.proprio()[9] == 1.0


def test_a_chunk_waits_for_its_latency_and_then_drops_what_is_past(env):
    env.reset(seed=1)
    start = env.commanded_pose.copy()
    rise = np.zeros((20, 7))
    rise[:, 2], rise[:, 6] = -0.01, 1.0  # the tool points down
    env.advance(rise, steps=5, latency=0.1)
    # the first chunk of a resting arm starts when it arrives: four steps of motion in five
    assert env.commanded_pose[2, 3] - start[2, 3] == pytest.approx(0.04, abs=1e-6)
    anchor = env.commanded_pose.copy()
    aside = np.zeros((20, 7))
    aside[:, 1], aside[:, 6] = 0.01, 1.0
    env.advance(aside, steps=8, latency=0.2)
    # a later chunk counts from its observation: eight steps of it, the first two replaced by the old chunk
    expected, _ = action.integrate(anchor, aside)
    assert env.commanded_pose[:3, 3] == pytest.approx(expected[7][:3, 3], abs=1e-6)


def test_the_expert_s_actions_work_as_chunks_too(env):
    for seed in (21, 22, 23):
        actions, succeeded = expert_actions(env, seed)
        assert succeeded
        padded = np.concatenate([actions, np.repeat(actions[-1:] * [0, 0, 0, 0, 0, 0, 1], 40, axis=0)])

        def infer(_, padded=padded):
            return padded[env.steps : env.steps + 20]

        assert run_policy_episode(env, infer, seed, latency=0.0)["success"]


def test_doing_nothing_fails_at_the_horizon(env):
    still = np.zeros((20, 7))
    looks = []
    info = run_policy_episode(env, lambda _: still, 5, watch=lambda e, chunk: looks.append(e.steps))
    assert not info["success"] and info["steps"] == TASK.horizon_steps
    assert looks == list(range(0, TASK.horizon_steps, TASK.execute_steps))


def test_imperfections_change_the_way_not_the_task(env):
    play = functools.partial(_path, imperfections=Imperfections.human())
    plain, human, again = _path(env, 31, Imperfections()), play(env, 31), play(env, 31)
    assert np.array_equal(human, again)
    assert len(human) != len(plain) or np.abs(human - plain).max() > 0.005


def _path(env, seed, imperfections):
    env.reset(seed=seed)
    expert, path = expert_for(TASK)(env, np.random.default_rng(1), imperfections), []
    while not env.over:
        env.step(next(expert))
        path.append(env.commanded_pose[:3, 3])
    return np.array(path)


def test_a_vector_of_environments_steps_each_with_its_own_action():
    vector = vector_env.make(2, CELL, TASK, images=False)
    try:
        first, _ = vector.reset(seed=[1, 2])
        actions = np.zeros((2, 7))
        actions[0, 1], actions[:, 6] = 0.02, 1.0
        second, reward, *_ = vector.step(actions)
        moved = np.linalg.norm((second["proprio"] - first["proprio"])[:, :3], axis=1)
        assert moved == pytest.approx([0.02, 0.0], abs=1e-5) and not reward.any()
    finally:
        vector.close()


def test_pressing_harder_than_the_envelope_allows_ends_the_trial_without_reward(env):
    env.reset(seed=11)
    down = np.array([0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 1.0])
    while not env.over:
        _, reward, terminated, truncated, info = env.step(down)
    assert info["contact_stop"] and terminated and not truncated and reward == 0.0
    assert env.steps < TASK.horizon_steps and not info["success"]
    resting = env.commanded_pose
    with pytest.raises(RuntimeError, match="contact stop"):
        env.step(down)
    env.reset(seed=11)
    assert not env.motion.contact_stop
    assert resting[2, 3] < 0.2
