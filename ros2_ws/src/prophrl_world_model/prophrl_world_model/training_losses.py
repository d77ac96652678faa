"""What Prophet and its autoencoder are trained on: flow matching of latents, and reconstruction.

Dimensions: B clip, C T h w latents, K A actions. The training loop, data and schedules are the training room's.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from prophrl_world_model.autoencoder import VideoAutoencoder, to_unit
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.state_head import state_loss


@dataclasses.dataclass(frozen=True)
class FlowLossConfig:
    """Times are ``sigmoid(N(time_mean, time_std))``. ``blank_share`` of the clips show nothing but the given frame, no
    noise either, at time 1: what ``sampler.ONE_STEP`` asks for, the mean of what may come. ``motion_weight`` moves
    weight to latents that change in the clip; ``history_noise`` is the largest standard deviation added to the history,
    against drift in long rollouts."""

    time_mean: float = 0.0
    time_std: float = 1.0
    blank_share: float = 0.0
    motion_weight: float = 0.0
    history_noise: float = 0.1
    known_time: float = 1e-4
    given_noise: float = 0.0  # largest standard deviation added to the given frame, against drift as well
    state_weight: float = 0.0  # of the state head's loss


@dataclasses.dataclass(frozen=True)
class ChunkBatch:
    """Clips of one batch; all have histories of one length, newest first, or none."""

    latents_BCThw: Tensor
    actions_BKA: Tensor
    action_latents_BCThw: Tensor | None = None
    history_BCThw: Tensor | None = None
    states_BTS: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class ReconstructionLossConfig:
    """``motion_weight`` is how much more a pixel counts that leaves its mean over the clip by a tenth or more."""

    kl_weight: float = 1e-5
    motion_weight: float = 0.0


def motion_weights(latents_BCThw: Tensor, weight: float, are_changes: bool = False) -> Tensor:
    """Loss weights (B, 1, T, h, w) of mean 1 a clip: ``1 + weight m / mean(m)``, m the change since the first frame."""
    if not are_changes:
        latents_BCThw = latents_BCThw - latents_BCThw[:, :, :1]
    change = latents_BCThw[:, :, 1:].square().mean(1, keepdim=True)
    change = torch.cat([torch.zeros_like(change[:, :, :1]), change], dim=2)
    relative = change / change.mean(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-8)
    return (1 + weight * relative) / (1 + weight * relative.mean(dim=(1, 2, 3, 4), keepdim=True))


def flow_matching_loss(
    model: Prophet, batch: ChunkBatch, config: FlowLossConfig, generator: torch.Generator | None = None
) -> Tensor:
    """Mean squared error of the velocity over the frames to be imagined; frame 0 is given. Plus the state loss."""
    x0 = batch.latents_BCThw
    B, _, T, _, _ = x0.shape

    def gaussian(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=x0.device)

    t_B = torch.sigmoid(config.time_mean + config.time_std * gaussian(B))
    noise = gaussian(*x0.shape)
    if config.blank_share > 0:
        blank = torch.rand(B, generator=generator, device=x0.device) < config.blank_share
        t_B = torch.where(blank, 1.0, t_B)
        noise = noise * ~blank[:, None, None, None, None]
    known = x0.new_zeros(B, T)
    known[:, 0] = 1
    t_B1 = t_B[:, None]
    noised = torch.lerp(x0, noise, t_B1[..., None, None, None])
    given = x0
    if config.given_noise > 0:
        level = config.given_noise * torch.rand((B, 1, 1, 1, 1), generator=generator, device=x0.device)
        given = x0 + level * gaussian(*x0.shape)
    x = torch.where(known.bool()[:, None, :, None, None], given, noised)
    history = batch.history_BCThw
    if history is not None and config.history_noise > 0:
        level = config.history_noise * torch.rand((B, 1, 1, 1, 1), generator=generator, device=x0.device)
        history = history + level * gaussian(*history.shape)
    actions = batch.actions_BKA if model.prophet.scalar_stream else None
    condition = model.condition(known, actions, batch.action_latents_BCThw, history)
    velocity, states = model.with_states(x, torch.where(known.bool(), config.known_time, t_B1), condition)
    error = (velocity.float() - (noise - x0)).square()
    if model.prophet.prediction == "sample":
        error = error * t_B.square()[:, None, None, None, None]
    if config.motion_weight > 0:
        error = error * motion_weights(x0, config.motion_weight, model.prophet.codes_changes)
    loss = error[:, :, 1:].mean()
    if config.state_weight > 0 and states is not None and batch.states_BTS is not None:
        loss = loss + config.state_weight * state_loss(states[:, 1:], batch.states_BTS[:, 1:])
    return loss


def reconstruction_loss(
    autoencoder: VideoAutoencoder,
    frames_BFHWC: Tensor,
    config: ReconstructionLossConfig = ReconstructionLossConfig(),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Weighted absolute error of the reconstruction in [-1, 1] plus the KL divergence of the latents per element."""
    video = to_unit(frames_BFHWC)
    posterior = autoencoder.wan.encode(video).latent_dist
    restored = autoencoder.wan.decode(posterior.sample(generator)).sample
    error = (restored - video).abs()
    if config.motion_weight > 0:
        change = (video - video.mean(dim=2, keepdim=True)).abs().mean(dim=1, keepdim=True)
        weight = 1 + config.motion_weight * (change / 0.1).clamp(max=1)
        error = error * weight / weight.mean()
    return error.mean() + config.kl_weight * posterior.kl().mean()


def training_step(
    model: torch.nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, largest_gradient: float = 1.0
) -> tuple[float, float]:
    """One update; returns the loss and the gradient's norm before clipping. What is not finite changes nothing."""
    optimiser.zero_grad(set_to_none=True)
    value = float(loss.detach())
    if not torch.isfinite(loss):
        return value, float("nan")
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), largest_gradient))
    if norm == norm and norm != float("inf"):
        optimiser.step()
    return value, norm
