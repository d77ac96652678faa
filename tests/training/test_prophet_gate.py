"""Prophet's gate: what is imagined for whom, groups, and what a killed run keeps. No training, no simulator."""

import dataclasses
import types

import numpy as np
import pytest
from prophrl_core import action
from prophrl_core.errors import UserError
from prophrl_training import gate_run
from prophrl_training.gate_cell import FIRST_CELL, SMALL, GateCell, Rollout
from prophrl_training.prophet_gate import grouped, imagine, policy_figures, predicted, ranking_figures
from prophrl_world_model.imagination import Imagined

K, SIDE = 8, 64
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


def rollout(steps, policy="strong", group=0, won=False, tone=10):
    actions = np.zeros((steps, 7))
    actions[:, 2], actions[:, 6] = 0.01, 0.5
    poses, openness = action.integrate(DOWN, actions)
    proprio = action.proprioception(np.concatenate([DOWN[None], poses]), np.append(1.0, openness)).astype(np.float32)
    frames = np.full((steps + 1, SMALL, SMALL, 3), tone, np.uint8)
    success = np.zeros(steps + 1, bool)
    success[-1] = won
    return Rollout(policy, group, np.full((128, 128, 3), tone, np.uint8), frames, proprio, actions, success)


class Seer:
    """Imagines pictures as bright as the steps so far; holds the goal from latent frame number ``tone`` on."""

    chunk_steps = K

    def __init__(self):
        self.model = types.SimpleNamespace(prophet=types.SimpleNamespace(height=SIDE))
        self.batches, self.seeds = [], []

    def reset(self, frames, poses, openness, seeds):
        assert frames.shape[1:] == (SIDE, SIDE, 3) and np.allclose(poses, DOWN) and np.allclose(openness, 1.0)
        self.tones, self.steps = frames[:, 0, 0, 0].astype(int), 0
        self.batches.append(len(frames))
        self.seeds += seeds

    def step(self, chunk):
        after = self.steps + 1 + np.arange(K)
        self.steps += K
        frames = np.broadcast_to(after[None, :, None, None, None].astype(np.uint8), (len(chunk), K, SIDE, SIDE, 3))
        latents = after[3::4] // 4
        held = (latents[None] >= self.tones[:, None]).astype(float)
        return Imagined(frames.copy(), None, None, held)


def test_every_rollout_is_imagined_to_its_own_length_with_its_own_seed():
    lengths = [20, 5, 12, 40] * 10
    seer, tones = Seer(), [6, 1, 3, 10] * 10
    found = imagine(seer, [rollout(n, tone=t) for n, t in zip(lengths, tones, strict=True)], 3, lambda *_: None)
    assert seer.batches == [32, 8] and len(set(seer.seeds)) == 40
    for n, tone, prophecy in zip(lengths, tones, found, strict=True):
        assert prophecy.small_FSS3.shape == (n + 1, SMALL, SMALL, 3)
        assert prophecy.small_FSS3[0, 0, 0, 0] == tone and prophecy.small_FSS3[-1, 0, 0, 0] == n
        assert prophecy.held == float(-(-n // 4) >= tone), "what comes after the rollout's end does not count"


def test_scores_are_ranked_inside_groups_of_one_start_and_policy():
    rollouts = [rollout(4, group=g, won=(g + n) % 3 == 0) for g in range(4) for n in range(6)]
    truth = np.array([r.succeeded for r in rollouts], float)
    values, outcomes = grouped(rollouts, np.arange(24.0))
    np.testing.assert_array_equal(values, np.arange(24).reshape(4, 6))
    np.testing.assert_array_equal(outcomes.ravel(), truth.astype(bool))
    figures = {f.name: f for f in ranking_figures(rollouts, {"no_video": -truth, "imagined": truth}, 0)}
    best = figures["prophet.within_group_auc"]
    assert (best.value, best.n, best.against["value"]) == (1.0, 4, 0.0)
    assert figures["prophet.within_group_auc.no_video"].against is None


def test_each_policys_imagined_success_stands_beside_its_real_one():
    weak = [rollout(4, "weak", s, won=s == 0) for s in range(4)]
    rollouts = weak + [rollout(4, "strong", s, won=True) for s in range(2)]
    weak, strong = policy_figures(rollouts, np.array([True, True, False, False, True, False]), 0)
    assert (weak.name, weak.value, weak.n, weak.against["value"]) == ("prophet.imagined_success.weak", 0.5, 4, 0.25)
    assert (strong.value, strong.against["value"]) == (0.5, 1.0)


def test_rollouts_of_any_length_read_back_as_they_were(tmp_path):
    rollouts = [rollout(7, "a", 1, True, 3), rollout(3, "b", 2, False, 9), rollout(12, "a", 4)]
    gate_run._store(tmp_path / "rollouts.npz", rollouts)
    for before, after in zip(rollouts, gate_run._load(tmp_path / "rollouts.npz"), strict=True):
        assert (before.policy, before.group) == (after.policy, after.group)
        for name in ("first_HW3", "small_FSS3", "proprio_FP", "actions_K7", "success_F"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


@pytest.mark.parametrize("task", ["grasp_bottle", "place_cube"])
def test_the_gates_cell_is_one_that_no_training_draws(task):
    cell = GateCell(task, 5)
    assert cell.cell.name == f"sim-{FIRST_CELL + 5}" and cell.task.name == task
    assert cell.cell == GateCell(task, 5).cell != GateCell(task, 6).cell


def test_the_no_video_predictor_is_asked_along_the_rollout_and_the_largest_answer_counts():
    class Predictor:
        config = types.SimpleNamespace(horizon=30)

        def __call__(self, frames, poses, steps):
            assert frames.shape[0] == poses.shape[0] == len(steps) and poses.shape[1] <= 30
            return -(steps.float() - 13.0).abs()

    found = predicted(Predictor(), [rollout(40), rollout(4)])
    ends = [np.arange(30, 0, -8), np.arange(5, 0, -8)]
    assert found == pytest.approx([1 / (1 + np.exp(np.abs(e - 13.0).min())) for e in ends])


def test_a_folder_of_something_else_or_of_another_gate_is_refused_untouched(tmp_path):
    weights, folder = tmp_path / "weights", tmp_path / "out"
    weights.mkdir()
    for name in ("prophet.safetensors", "autoencoder.safetensors"):
        (weights / name).write_bytes(b"one")

    def gate(seed=0, config=gate_run.GateConfig(), out=folder):
        return gate_run.GateRun(weights, "grasp_bottle", seed, out, config, print)

    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="found other files; give another --out"):
        gate().claim_folder()
    assert (folder / "parts" / "thesis.tex").read_text() == "years of work"
    mine = tmp_path / "mine"
    gate(out=mine).claim_folder()
    (mine / "rollouts.npz").touch()
    gate(out=mine, config=gate_run.GateConfig(threads=1, processes=1)).claim_folder()
    others = [gate(1, out=mine), gate(config=dataclasses.replace(gate_run.GateConfig(), starts=3), out=mine)]
    for other in others:
        with pytest.raises(UserError, match="other weights, cell or sizes"):
            other.claim_folder()
    (weights / "prophet.safetensors").write_bytes(b"two")
    with pytest.raises(UserError, match="other weights, cell or sizes"):
        gate(out=mine).claim_folder()
