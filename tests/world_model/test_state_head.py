"""The head that reads the scene: its targets in closed form, what is unknown, and a base that does not notice it."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from prophrl_core import se3
from prophrl_core.camera import CameraModel, look_at
from prophrl_training.prophet_clips import EpisodeLabels, ProphetEpisode, encode_chain, states_of
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.imagination import ImaginationEnv, View
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import FEW_STEPS
from prophrl_world_model.state_head import (
    EVENTS,
    NUMBERS_PER_OBJECT,
    StateHead,
    state_loss,
    state_numbers,
    state_targets,
    success_probability,
)  # fmt: skip
from prophrl_world_model.training_losses import (
    ChunkBatch,
    FlowLossConfig,
    ReconstructionLossConfig,
    flow_matching_loss,
    reconstruction_loss,
)  # fmt: skip

VIEW = View(
    CameraModel(48, 32, 40.0, 40.0, 23.5, 15.5), se3.pose_from_rotvec(np.array([0.0, 0.0, 0.8, np.pi, 0.0, 0.0]))
)


def columns(T):
    return np.concatenate([T[:3, 3], T[:3, 0], T[:3, 1]])


def test_targets_are_places_beside_the_tcp_and_upward_axes_as_the_camera_sees_them():
    # A camera in front of the robot, level with the table: right in its picture is +y, down is -z, into it is -x.
    camera = look_at(np.array([1.0, 0.0, 0.1]), np.array([0.0, 0.0, 0.1]))
    np.testing.assert_allclose(camera[:3, :3].T, [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], atol=1e-12)
    tcp = np.stack([se3.transform(np.eye(3), np.array([0.5, 0.1, z])) for z in (0.2, 0.3)])
    upright = se3.transform(se3.rotvec_to_matrix(np.array([0, 0, 0.7])), np.array([0.5, 0.2, 0.2]))
    fallen = se3.transform(se3.rotvec_to_matrix(np.array([0, np.pi / 2, 0])), np.array([0.4, 0.1, 0.3]))  # up is +x
    objects = np.stack([[columns(upright), columns(fallen)]] * 2)
    events = np.array([[0, 0, 0], [1, 0, 1.0]])
    out = state_targets(objects, events, tcp, camera, 3)
    assert out.shape == (2, state_numbers(3)) == (2, 3 * NUMBERS_PER_OBJECT + len(EVENTS)) and out.dtype == np.float32
    np.testing.assert_allclose(out[0, :6], [1, 0, 0, 0, -1, 0], atol=1e-6)  # 10 cm to the right, up is up
    np.testing.assert_allclose(out[1, :6], [1, 1, 0, 0, -1, 0], atol=1e-6)  # and by now 10 cm below
    np.testing.assert_allclose(out[0, 6:12], [0, -1, 1, 0, 0, -1], atol=1e-6)  # above, farther away, lying towards us
    assert np.isnan(out[:, 12:18]).all(), "there is no third object"
    np.testing.assert_array_equal(out[:, 18:], events)
    fewer = state_targets(objects, events, tcp, camera, 1)
    np.testing.assert_array_equal(fewer[:, :6], out[:, :6])
    none = state_targets(np.zeros((2, 0, 9)), events, tcp, camera, 1)
    assert np.isnan(none[:, :6]).all() and (none[:, 6:] == events).all()


def test_the_loss_is_of_what_is_known():
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(2, 3, state_numbers(1), generator=rng)
    target[..., -3:] = (target[..., -3:] > 0).float()
    read = torch.randn(2, 3, state_numbers(1), generator=rng, requires_grad=True)
    # Huber with its bend at 0.2, halves below; cross-entropy of the events: all numbers count alike.
    off = (read - target)[..., :-3].abs()
    place = torch.where(off < 0.2, off.square() / 0.4, off - 0.1)
    logit = read[..., -3:]
    event = torch.log1p(torch.exp(logit)) - logit * target[..., -3:]
    torch.testing.assert_close(state_loss(read, target), torch.cat([place, event], -1).mean())
    partly = target.clone()
    partly[..., :6], partly[:, 1:, -1] = math.nan, math.nan
    (gradient,) = torch.autograd.grad(state_loss(read, partly), read)
    assert (gradient[..., :6] == 0).all() and (gradient[:, 1:, -1] == 0).all() and torch.isfinite(gradient).all()
    known = torch.cat([event[..., :2].flatten(), event[:, 0, 2]])
    torch.testing.assert_close(state_loss(read, partly), known.mean())
    nothing = state_loss(read, torch.full_like(target, math.nan))
    assert nothing.item() == 0 and torch.autograd.grad(nothing, read)[0].abs().sum() == 0
    assert success_probability(torch.zeros(1, 2, 9)).tolist() == [[0.5, 0.5]]


def test_the_head_finds_a_place_among_the_tokens():
    """One token of sixteen is marked; where it lies is written in it."""
    torch.manual_seed(0)
    head = StateHead(16, 1)
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)

    def made(n):
        tokens = 0.5 * torch.randn(n, 1, 16, 16)
        at, place = torch.randint(16, (n,)), torch.rand(n, 2) * 2 - 1
        tokens[torch.arange(n), 0, at, 0] = 6.0
        tokens[torch.arange(n), 0, at, 1:3] = 3 * place
        target = torch.full((n, 1, state_numbers(1)), math.nan)
        target[:, 0, :2] = place
        return tokens, target

    start = float(state_loss(head(made(512)[0]), made(512)[1]))
    for _ in range(250):
        tokens, target = made(64)
        optimiser.zero_grad()
        state_loss(head(tokens), target).backward()
        optimiser.step()
    tokens, target = made(512)
    assert float(state_loss(head(tokens), target)) < 0.35 * start


def twins(miniature, **changes):
    """The same weights with a head and without one."""
    config = miniature(text_dim=None, arms=1, **changes)
    torch.manual_seed(0)
    plain = Prophet(config).eval()
    torch.manual_seed(1)
    read = Prophet(dataclasses.replace(config, state_objects=2)).eval()
    lacking = read.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith("state_head.") for name in lacking.missing_keys) and not lacking.unexpected_keys
    return plain, read


def test_velocity_does_not_notice_the_head(miniature):
    plain, read = twins(miniature)
    C, T, h, w = plain.prophet.latent_shape
    x, t, known = torch.randn(2, C, T, h, w), torch.full((2, T), 0.5), torch.tensor([[1.0, 0.0, 0.0]] * 2)
    actions = torch.randn(2, 8, 7)
    with torch.no_grad():
        expected = plain(x, t, plain.condition(known, actions))
        velocity, states = read.with_states(x, t, read.condition(known, actions))
        assert torch.equal(velocity, expected) and torch.equal(read(x, t, read.condition(known, actions)), expected)
    assert states.shape == (2, T, state_numbers(2)) and plain.with_states(x, t, plain.condition(known))[1] is None


def batch_of(config, states=None):
    C, T, h, w = config.latent_shape
    g = torch.Generator().manual_seed(3)
    return ChunkBatch(torch.randn(2, C, T, h, w, generator=g), torch.randn(2, 8, 7, generator=g), states_BTS=states)


def test_the_state_loss_is_added_by_its_weight_and_reaches_the_trunk(miniature):
    plain, read = twins(miniature)
    states = torch.zeros(2, 3, state_numbers(2))

    def loss(model, batch, **config):
        return flow_matching_loss(model, batch, FlowLossConfig(**config), torch.Generator().manual_seed(4))

    base = loss(plain, batch_of(plain.prophet))
    assert loss(read, batch_of(read.prophet, states)) == base, "weight 0"
    assert loss(read, batch_of(read.prophet), state_weight=1.0) == base, "nothing known"
    one, two = (loss(read, batch_of(read.prophet, states), state_weight=w) for w in (1.0, 2.0))
    assert one > base and float(two - base) == pytest.approx(2 * float(one - base), rel=1e-4)
    spoilt = states.clone()
    spoilt[:, 0] = 7.0
    assert loss(read, batch_of(read.prophet, spoilt), state_weight=1.0) == one, "the given frame is not asked about"
    one.sub(base.detach()).backward()
    assert read.state_head.outer.weight.grad.abs().sum() > 0
    read.zero_grad()
    known = torch.tensor([[1.0, 0.0, 0.0]] * 2)
    x = batch_of(read.prophet).latents_BCThw
    state_loss(read.with_states(x, known, read.condition(known))[1], states).backward()
    assert read.transformer_blocks[0].attn1.to_q.weight.grad.abs().sum() > 0


def test_noise_on_the_given_frame_touches_nothing_else(miniature):
    seen = {}

    class Spy(Prophet):
        def with_states(self, x, t, condition):
            seen.update(x=x, t=t)
            return super().with_states(x, t, condition)

    torch.manual_seed(0)
    model = Spy(miniature(text_dim=None, arms=1))
    batch = batch_of(model.prophet)
    for noise in (0.0, 0.5):
        flow_matching_loss(model, batch, FlowLossConfig(given_noise=noise), torch.Generator().manual_seed(2))
        x, given = seen["x"], batch.latents_BCThw[:, :, 0]
        off = (x[:, :, 0] - given).std(dim=(1, 2, 3))
        assert (off == 0).all() if noise == 0 else ((off > 0).all() and (off < 0.55).all() and off[0] != off[1])
        seen.setdefault("future", x[:, :, 1:])
        assert torch.equal(x[:, :, 1:], seen["future"]) and (seen["t"][:, 0] == 1e-4).all()


def test_pixels_that_move_count_for_more_in_the_reconstruction(miniature):
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(miniature().autoencoder)
    clip = torch.full((1, 5, 16, 16, 3), 60, dtype=torch.uint8)

    def loss(frames, weight):
        config = ReconstructionLossConfig(kl_weight=0.0, motion_weight=weight)
        return float(reconstruction_loss(autoencoder, frames, config, torch.Generator().manual_seed(1)))

    assert loss(clip, 9.0) == pytest.approx(loss(clip, 0.0)), "nothing moves"
    clip[:, 2:, :8] = 220
    with torch.no_grad():
        video = clip.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        latents = autoencoder.wan.encode(video).latent_dist.sample(torch.Generator().manual_seed(1))
        error = (autoencoder.wan.decode(latents).sample - video).abs()
    # The upper half leaves its mean by far more than a tenth: weight 10 there, 1 below, 5.5 in the mean.
    upper, lower = float(error[..., :8, :].mean()), float(error[..., 8:, :].mean())
    assert loss(clip, 9.0) == pytest.approx((10 * upper + lower) / 11, rel=1e-4)


def test_imagination_says_how_likely_success_is_also_in_bfloat16(miniature):
    config = miniature(text_dim=None, arms=1, state_objects=1)
    torch.manual_seed(1)
    model, autoencoder = Prophet(config).eval(), VideoAutoencoder(config.autoencoder).eval()
    rng = np.random.default_rng(0)
    frames, poses = rng.integers(0, 256, (3, 32, 48, 3), dtype=np.uint8), np.stack([np.eye(4)] * 3)
    chunk = rng.normal(scale=0.01, size=(3, 8, 7))

    def imagined(bfloat16=False, batch=16):
        env = ImaginationEnv(model, autoencoder, VIEW, FEW_STEPS, batch, bfloat16)
        env.reset(frames, poses, np.ones(3), np.arange(3))
        return [env.step(chunk) for _ in range(2)][1]

    full, parts, half = imagined(), imagined(batch=2), imagined(bfloat16=True)
    assert full.success_NT.shape == (3, config.latent_frames - 1) and full.success_NT.dtype == np.float32
    assert ((0 < full.success_NT) & (full.success_NT < 1)).all() and np.ptp(full.success_NT) > 0
    np.testing.assert_allclose(parts.success_NT, full.success_NT, atol=1e-4)
    np.testing.assert_allclose(half.success_NT, full.success_NT, atol=0.05)
    assert half.frames_NKHW3.dtype == np.uint8
    assert 0 < np.abs(half.frames_NKHW3.astype(int) - full.frames_NKHW3).mean() < 4
    with torch.no_grad():
        model.state_head.outer.weight.zero_()
        model.state_head.outer.bias[-1] = math.log(0.8 / 0.2)
    np.testing.assert_allclose(imagined().success_NT, 0.8, rtol=1e-5)


def test_states_of_an_episode_belong_to_the_ends_of_latent_frames(miniature):
    config = miniature(text_dim=None, arms=1, state_objects=2, frame_stream="none")
    F = 20
    poses = np.stack([se3.transform(np.eye(3), np.array([0.0, 0.0, 0.01 * f])) for f in range(F)])
    objects = np.tile(columns(np.eye(4)), (F, 1, 1))
    labels = EpisodeLabels("success", np.arange(F) >= 15, np.stack([np.arange(F) >= 9, np.zeros(F)], 1), objects)
    frames = np.zeros((F, 32, 48, 3), np.uint8)
    made = ProphetEpisode("e", frames, poses, np.ones(F), np.zeros((F - 1, 7)), VIEW, 10.0, labels)
    chain = encode_chain(made, config, VideoAutoencoder(config.autoencoder).eval(), phase=3)
    assert chain.states_NTS.shape == (2, 3, state_numbers(2))  # frames 3, 7, 11 and 11, 15, 19
    assert chain.states_NTS[..., -3].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert chain.states_NTS[..., -1].tolist() == [[0, 0, 0], [0, 1, 1]]
    # the camera looks straight down, so the TCP's height is along its z: the object falls behind
    np.testing.assert_allclose(chain.states_NTS[0, :, 2], [0.3, 0.7, 1.1], atol=1e-5)
    assert chain.states_NTS[..., 6:12].isnan().all()
    unlabelled = states_of(dataclasses.replace(made, labels=EpisodeLabels()), config)
    assert np.isnan(unlabelled).all() and states_of(made, miniature()) is None
