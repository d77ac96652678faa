"""The losses: what they weigh, and that a tiny Prophet can learn two futures of one start apart by their actions."""

import math

import pytest
import torch
from peft import LoraConfig
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import SamplerConfig, sample
from prophrl_world_model.training_losses import (
    ChunkBatch,
    FlowLossConfig,
    flow_matching_loss,
    motion_weights,
    reconstruction_loss,
    training_step,
)  # fmt: skip


def two_clips(config):
    """One start, two smooth futures in opposite directions, and the two chunks that lead there."""
    g = torch.Generator().manual_seed(0)
    C, T, H, W = config.latent_shape
    start, way = torch.randn(C, 1, H, W, generator=g), torch.randn(C, 1, H, W, generator=g)
    ramp = torch.linspace(0, 1, T).view(1, T, 1, 1)
    actions = torch.zeros(2, config.chunk_steps, config.arms * 7)
    actions[0, :, 0], actions[1, :, 0] = 1.0, -1.0
    return ChunkBatch(torch.stack([start + ramp * way, start - ramp * way]), actions)


def test_two_futures_of_one_start_are_learnt_by_their_actions(miniature):
    torch.manual_seed(0)
    config = miniature(text_dim=None, time_scale=1000.0, layers=2)
    model, batch = Prophet(config), two_clips(miniature())
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    repeated = ChunkBatch(batch.latents_BCThw.repeat(8, 1, 1, 1, 1), batch.actions_BKA.repeat(8, 1, 1))
    losses = [
        training_step(model, optimiser, flow_matching_loss(model, repeated, FlowLossConfig(), generator))[0]
        for _ in range(150)
    ]
    assert sum(losses[-20:]) < 0.35 * sum(losses[:20])
    known = torch.zeros(2, config.latent_frames)
    known[:, 0] = 1
    with torch.no_grad():
        condition = model.condition(known, batch.actions_BKA)
        noise = torch.randn(batch.latents_BCThw.shape, generator=generator)
        imagined = sample(lambda x, t: model(x, t, condition), noise, batch.latents_BCThw, known,
                          SamplerConfig(steps=8, schedule="uniform"))  # fmt: skip
    last, right = imagined[:, :, -1], batch.latents_BCThw[:, :, -1]
    near, far = (last - right).square().mean((1, 2, 3)), (last - right.flip(0)).square().mean((1, 2, 3))
    assert (near < 0.15 * far).all(), (near, far)


def test_motion_weights_have_mean_one_and_follow_the_change():
    still = torch.zeros(1, 2, 3, 4, 4)
    torch.testing.assert_close(motion_weights(still, 5.0), torch.ones(1, 1, 3, 4, 4))
    moved = still.clone()
    moved[:, :, 1:, 0, 0] = 2.0  # one of 16 places in two of three frames
    weights = motion_weights(moved, 5.0)
    assert float(weights.mean()) == pytest.approx(1.0)
    # Relative change 24 there, 0 elsewhere: 1 + 5 * 24 against 1, over 1 + 5.
    assert float(weights[0, 0, 1, 0, 0]) == pytest.approx(121 / 6)
    assert float(weights[0, 0, 1, 1, 1]) == pytest.approx(1 / 6)


def test_the_given_frame_and_the_future_itself_are_kept_from_the_model(miniature):
    """The loss at time t must not depend on what the network cannot know: it sees the noised future only."""
    config = miniature(text_dim=None)
    seen = {}

    class Spy(Prophet):
        def with_states(self, x, t, condition):
            seen.update(x=x, t=t)
            return super().with_states(x, t, condition)

    torch.manual_seed(0)
    model, batch = Spy(config), two_clips(config)
    pure_noise = FlowLossConfig(time_mean=20.0, time_std=0.0)  # t = 1
    flow_matching_loss(model, batch, pure_noise, torch.Generator().manual_seed(2))
    assert torch.equal(seen["x"][:, :, 0], batch.latents_BCThw[:, :, 0])
    assert (seen["t"][:, 0] == 1e-4).all() and (seen["t"][:, 1:] == 1).all()
    hidden = ChunkBatch(
        torch.cat([batch.latents_BCThw[:, :, :1], 9 + batch.latents_BCThw[:, :, 1:]], 2), batch.actions_BKA
    )
    first = seen["x"]
    flow_matching_loss(model, hidden, pure_noise, torch.Generator().manual_seed(2))
    assert torch.equal(first, seen["x"])


def test_history_noise_and_gradients(miniature):
    config = miniature(text_dim=None, frame_stream="tokens")
    torch.manual_seed(0)
    model, batch = Prophet(config), two_clips(config)
    latents = batch.latents_BCThw
    full = ChunkBatch(latents, batch.actions_BKA, latents, latents.flip(2))
    for noise in (0.0, 1.0):
        model.zero_grad()
        flow_matching_loss(model, full, FlowLossConfig(history_noise=noise, motion_weight=2.0)).backward()
        assert model.memory.to_k.weight.grad.abs().sum() > 0
        assert model.scalar_stream.to_D.fc2.weight.grad.abs().sum() > 0, "a zero-initialised stream learns"
        assert model.frame_stream.proj.weight.grad.abs().sum() > 0
    plain = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model.enable_gradient_checkpointing()
    torch.manual_seed(5)
    flow_matching_loss(model, full, FlowLossConfig(history_noise=0.0)).backward()
    checkpointed = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model.disable_gradient_checkpointing()
    torch.manual_seed(5)
    flow_matching_loss(model, full, FlowLossConfig(history_noise=0.0)).backward()
    for a, p in zip(checkpointed, [p for p in model.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-4, atol=1e-6)
    assert len(plain) == len(checkpointed)


def test_the_autoencoder_learns_a_clip_and_a_spoilt_loss_changes_nothing(miniature):
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(miniature().autoencoder)
    clip = torch.full((1, 5, 16, 16, 3), 60, dtype=torch.uint8)
    clip[:, :, 4:10, 4:10] = 220
    optimiser = torch.optim.AdamW(autoencoder.parameters(), lr=3e-3)
    losses = [training_step(autoencoder, optimiser, reconstruction_loss(autoencoder, clip))[0] for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]
    before = [p.clone() for p in autoencoder.parameters()]
    loss = reconstruction_loss(autoencoder, clip) * float("nan")
    assert math.isnan(training_step(autoencoder, optimiser, loss)[0])
    assert all(torch.equal(a, b) for a, b in zip(before, autoencoder.parameters(), strict=True))


def test_lora_keeps_a_fresh_adapter_silent_and_trains_it_alone(miniature):
    config = miniature(text_dim=None)
    torch.manual_seed(0)
    model, batch = Prophet(config), two_clips(config)

    def loss():
        return flow_matching_loss(model, batch, FlowLossConfig(), torch.Generator().manual_seed(3))

    before = loss()
    model.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    torch.testing.assert_close(loss(), before, rtol=0, atol=0)
    loss().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert trained and all("lora_" in name for name in trained)
