"""Imagined rollouts: proprioception from the actions, the past alone decides, and no rollout feels its neighbours."""

import numpy as np
import pytest
import torch
from prophrl_core import action, se3
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError
from prophrl_world_model.autoencoder import VideoAutoencoder, make_autoencoder
from prophrl_world_model.config import AutoencoderConfig, named
from prophrl_world_model.imagination import ImaginationEnv, View, extended_history
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import FEW_STEPS

N, K = 3, 8
VIEW = View(
    CameraModel(48, 32, 40.0, 40.0, 23.5, 15.5), se3.pose_from_rotvec(np.array([0.0, 0.0, 0.8, np.pi, 0.0, 0.0]))
)


def make(config, batch=16):
    torch.manual_seed(1)
    model, autoencoder = Prophet(config).eval(), VideoAutoencoder(config.autoencoder).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return ImaginationEnv(model, autoencoder, VIEW, FEW_STEPS, batch)


def starts(n=N, seed=0):
    rng = np.random.default_rng(seed)
    poses = np.stack([se3.pose_from_rotvec(p) for p in rng.normal(scale=0.1, size=(n, 6))])
    return rng.integers(0, 256, (n, 32, 48, 3), dtype=np.uint8), poses, rng.random(n), np.arange(n)


def chunks(count, n=N, seed=5):
    a = np.random.default_rng(seed).normal(scale=0.02, size=(count, n, K, 7))
    a[..., 6] = np.random.default_rng(seed).random((count, n, K))
    return a


def test_proprioception_is_core_integration_over_all_chunks(miniature):
    env, (frames, poses, openness, seeds) = make(miniature()), starts()
    first = env.reset(frames, poses, openness, seeds)
    np.testing.assert_allclose(first, action.proprioception(poses, openness), atol=1e-6)
    plan = chunks(2)
    seen = [env.step(chunk) for chunk in plan]
    for n in range(N):
        integrated, opened = action.integrate(poses[n], np.concatenate(plan[:, n]))
        whole = np.concatenate([s.T_base_tcp_NK44[n] for s in seen])
        np.testing.assert_allclose(whole, integrated, atol=1e-9)
        proprio = np.concatenate([s.proprio_NK10[n] for s in seen])
        np.testing.assert_allclose(proprio, action.proprioception(integrated, opened), atol=1e-6)
    assert seen[0].frames_NKHW3.shape == (N, K, 32, 48, 3) and seen[0].frames_NKHW3.dtype == np.uint8


def test_a_rollout_is_the_same_alone_in_a_batch_and_in_parts(miniature):
    frames, poses, openness, seeds = starts()
    plan = chunks(2)

    def roll(pick, batch):
        env = make(miniature(), batch)
        env.reset(frames[pick], poses[pick], openness[pick], seeds[pick])
        return np.concatenate([env.step(chunk[pick]).frames_NKHW3 for chunk in plan], axis=1).astype(int)

    whole = roll(np.arange(N), 16)
    assert np.abs(roll(np.arange(N), 2) - whole).max() <= 1
    assert np.abs(roll(np.array([1]), 16) - whole[1:2]).max() <= 1
    assert np.abs(whole[0] - whole[1]).max() > 1


def test_only_the_past_decides_and_the_seed(miniature):
    frames, poses, openness, seeds = starts(1)
    plan = chunks(3, n=1)

    def roll(plan, seeds=seeds):
        env = make(miniature())
        env.reset(frames, poses, openness, seeds)
        return [env.step(chunk).frames_NKHW3 for chunk in plan]

    a, b = roll(plan), roll(np.concatenate([plan[:2], chunks(1, n=1, seed=9)]))
    assert all(np.array_equal(a[i], b[i]) for i in range(2)) and not np.array_equal(a[2], b[2])
    assert not np.array_equal(roll(plan[:1], seeds + 1)[0], a[0])


@pytest.mark.parametrize(
    "changes",
    [{"history_order": "none"}, {"frame_stream": "none"}, {"frame_stream": "tokens"},
     {"scalar_stream": False, "frame_stream": "tokens", "frame_encoding": "folded"}, {"frame_encoding": "folded"},
     {"text_dim": None}],
)  # fmt: skip
def test_every_variant_imagines_and_listens_to_its_actions(miniature, changes):
    frames, poses, openness, seeds = starts(1)
    seen = []
    for plan in chunks(2, n=1):
        env = make(miniature(**changes))
        env.reset(frames, poses, openness, seeds)
        env.step(chunks(1, n=1, seed=7)[0])
        seen.append(env.step(plan).frames_NKHW3)
    assert seen[0].shape == (1, K, 32, 48, 3) and not np.array_equal(*seen)


def test_history_is_newest_first_and_bounded(miniature):
    clip = torch.arange(3.0).view(1, 1, 3, 1, 1)
    history = extended_history(None, clip, 5)
    assert history.flatten().tolist() == [2, 1, 0]
    history = extended_history(history, clip + 3, 5)
    assert history.flatten().tolist() == [5, 4, 3, 2, 1]
    env = make(miniature())
    env.reset(*starts())
    for chunk in chunks(3):
        env.step(chunk)
    assert env._history.shape == (N, *miniature().latent_shape[:1], 6, *miniature().latent_shape[2:])


def test_a_real_past_is_remembered_as_an_imagined_one(miniature):
    env, (frames, poses, openness, seeds) = make(miniature(), batch=2), starts()
    past = np.random.default_rng(3).integers(0, 256, (2, N, K + 1, 32, 48, 3), dtype=np.uint8)
    plan = chunks(1)[0]
    env.reset(frames, poses, openness, seeds, past)
    with torch.no_grad():
        clips = [env.autoencoder.encode(torch.from_numpy(clip)) for clip in past]
    expected = extended_history(extended_history(None, clips[0], 6), clips[1], 6)
    torch.testing.assert_close(env._history, expected, atol=1e-4, rtol=1e-4)
    remembered = env.step(plan).frames_NKHW3
    env.reset(frames, poses, openness, seeds)
    assert env._history is None and not np.array_equal(env.step(plan).frames_NKHW3, remembered)
    forgetful = make(miniature(history_order="none"))
    forgetful.reset(frames, poses, openness, seeds, past)
    assert forgetful._history is None


def test_the_shipped_sizes_of_the_autoencoder_shrink_alike(miniature):
    frames = torch.randint(0, 256, (1, 5, 32, 32, 3), dtype=torch.uint8)
    for config in (named("prophet-tiny").autoencoder, miniature().autoencoder):
        autoencoder = make_autoencoder(config).eval()
        with torch.no_grad():
            latents = autoencoder.encode(frames)
            assert latents.shape == (1, config.channels, 2, 32 // config.stride, 32 // config.stride)
            assert autoencoder.decode(latents, frames[:, 0]).shape == frames.shape
            start = autoencoder.encode(frames[:, :1])
        torch.testing.assert_close(latents[:, :, :1], start, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="shrink by 8"):
        AutoencoderConfig(pixel_patch=4)


def test_wrong_input_is_refused(miniature):
    env, (frames, poses, openness, seeds) = make(miniature()), starts()
    with pytest.raises(ValueError, match="expected uint8 frames"):
        env.reset(frames[:, :16], poses, openness, seeds)
    env.reset(frames, poses, openness, seeds)
    with pytest.raises(ValueError, match="expected actions"):
        env.step(np.zeros((N, K + 1, 7)))
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full((N, K, 7), np.nan))
    with pytest.raises(UserError, match="48x32"):
        ImaginationEnv(env.model, env.autoencoder, View(VIEW.camera.scaled(24, 16), VIEW.T_base_camera))
