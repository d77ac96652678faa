"""Clips that begin in imagined frames: which ones do, with what, and what stays real."""

import numpy as np
import pytest
import torch
from prophet_episode import episode
from prophrl_training.own_context import own_chains
from prophrl_training.prophet_clips import encode_chain
from prophrl_world_model.autoencoder import make_autoencoder
from prophrl_world_model.config import PatchesConfig
from prophrl_world_model.imagination import ImaginationEnv
from prophrl_world_model.patch_autoencoder import PatchAutoencoder
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import ONE_STEP


@pytest.mark.parametrize("kind", [{}, {"autoencoder": PatchesConfig(channels=12), "frame_encoding": "folded"}])
def test_two_clips_of_three_begin_in_frames_imagined_from_the_real_one_before(miniature, kind):
    config = miniature(text_dim=None, arms=1, prediction="sample", **kind)
    torch.manual_seed(0)
    model, autoencoder = Prophet(config).eval(), make_autoencoder(config.autoencoder).eval()
    if isinstance(autoencoder, PatchAutoencoder):
        autoencoder.fit(torch.from_numpy(np.stack([episode(8, seed).frames_FHW3 for seed in range(9)])))
    made = [episode(35, seed=1), episode(7, seed=2), episode(17, seed=3)]
    said = []
    chains = list(own_chains(
        made, lambda view: ImaginationEnv(model, autoencoder, view, ONE_STEP), 0, lambda *counts: said.append(counts)
    ))  # fmt: skip
    assert said[-1] == (3, 3) and sorted(map(len, chains)) == [2, 4], "an episode shorter than a chunk has no chain"
    own = max(chains, key=len)
    real = encode_chain(made[0], config, autoencoder, 0)
    same = [torch.equal(own.latents_NCThw[n, :, 0], real.latents_NCThw[n, :, 0]) for n in range(4)]
    assert same == [True, False, False, True] and torch.equal(own.actions_NKA, real.actions_NKA)

    env = ImaginationEnv(model, autoencoder, made[0].view, ONE_STEP)
    env.reset(made[0].frames_FHW3[:1], made[0].T_base_tcp_F44[:1], made[0].openness_F[:1], [0])
    for n in (1, 2):
        frame = env.step(made[0].actions_K7[None, 8 * n - 8 : 8 * n]).frames_NKHW3[:, -1]
        with torch.no_grad():
            given = autoencoder.encode(torch.from_numpy(frame)[:, None])
        np.testing.assert_allclose(own.latents_NCThw[n, :, 0], given[0, :, 0].half(), atol=2e-3)
