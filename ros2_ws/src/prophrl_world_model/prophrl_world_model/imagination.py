"""Rollouts in Prophet: an environment of many imagined cells, chunks in and frames out (method.md section 2).

Dimensions: N rollout, K action step, H W pixels, C T h w latents. Frames are at the model's size and rate; poses are of
one arm's TCP in the base. Proprioception is integrated from the actions, as the deployed policy's is.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from prophrl_core import action
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError
from torch import Tensor

from prophrl_world_model.action_frames import ActionFrameStyle, folded, render
from prophrl_world_model.action_streams import scalar_actions
from prophrl_world_model.autoencoder import Autoencoder
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import FULL, SamplerConfig, sample
from prophrl_world_model.state_head import success_probability


@dataclasses.dataclass(frozen=True)
class View:
    """The camera that Prophet imagines: intrinsics at the model's frame size, and where it is."""

    camera: CameraModel
    T_base_camera: np.ndarray  # (4, 4)
    style: ActionFrameStyle = ActionFrameStyle()

    def action_frames(self, T_base_tcp_NF44: np.ndarray, openness_NF: np.ndarray, device="cpu") -> Tensor:
        """Action frames (N, F, H, W, 3) uint8 of N rollouts of one arm, F frames each."""
        N, F = openness_NF.shape
        flat = render(
            self.camera, self.T_base_camera, T_base_tcp_NF44.reshape(N * F, 1, 4, 4), openness_NF.reshape(N * F, 1),
            self.style, device,
        )  # fmt: skip
        return flat.unflatten(0, (N, F))


class Imagined(NamedTuple):
    """What a chunk leads to, after each of its steps."""

    frames_NKHW3: np.ndarray  # uint8
    proprio_NK10: np.ndarray  # float32, core's proprioception
    T_base_tcp_NK44: np.ndarray
    success_NT: np.ndarray | None  # probability that the goal has been held by the end of each latent frame


def encoded_action_frames(
    config: ProphetConfig,
    view: View,
    autoencoder: Autoencoder,
    T_base_tcp_NF44: np.ndarray,
    openness_NF: np.ndarray,
) -> Tensor:
    """Action frames of F = 1 + chunk poses as the model takes them, (N, C, T, h, w) on the autoencoder's device."""
    device = autoencoder.mean.device
    if config.frame_encoding == "autoencoder":
        return autoencoder.encode(view.action_frames(T_base_tcp_NF44, openness_NF, device))
    _, _, height, width = config.latent_shape
    small = dataclasses.replace(view, camera=view.camera.scaled(config.frame_fold * width, config.frame_fold * height))
    return folded(small.action_frames(T_base_tcp_NF44, openness_NF, device), config.frame_fold)


def extended_history(history_NCThw: Tensor | None, clip_NCThw: Tensor, limit: int) -> Tensor:
    """The history, newest first, with a clip's latents (oldest first) put in front; at most ``limit`` frames."""
    newest = clip_NCThw.flip(2)
    return newest[:, :, :limit] if history_NCThw is None else torch.cat([newest, history_NCThw], dim=2)[:, :, :limit]


class ImaginationEnv:
    """``reset`` with real frames and poses, then ``step`` with chunks, as long as asked; memory stays bounded.

    ``batch`` rollouts go through the networks at once, with matrix products in ``bfloat16`` when asked. Each rollout
    has a seed of its own: the same start, seed and chunks give the same frames, whatever runs beside it.
    """

    def __init__(
        self,
        model: Prophet,
        autoencoder: Autoencoder,
        view: View,
        sampler: SamplerConfig = FULL,
        batch: int = 16,
        bfloat16: bool = False,
    ):
        config = model.prophet
        if (view.camera.height, view.camera.width) != (config.height, config.width):
            raise UserError(
                f"imagination: expected a camera of {config.width}x{config.height} pixels for {config.name}, got "
                f"{view.camera.width}x{view.camera.height}; scale the camera model"
            )
        self.model, self.autoencoder, self.view, self.sampler, self.batch = model, autoencoder, view, sampler, batch
        self.bfloat16 = bfloat16

    @property
    def chunk_steps(self) -> int:
        """Actions of one step."""
        return self.model.prophet.chunk_steps

    def reset(
        self, frames_NHW3: np.ndarray, T_base_tcp_N44: np.ndarray, openness_N: np.ndarray, seeds_N, past_PNFHW3=()
    ) -> np.ndarray:
        """Start N rollouts from uint8 frames and commanded poses; returns proprioception (N, 10).

        ``past_PNFHW3`` are real clips to remember, oldest first, one chunk each (F = 1 + its steps), each ending where
        the next begins and the last where the rollouts begin.
        """
        config = self.model.prophet
        frames = np.asarray(frames_NHW3)
        if frames.dtype != np.uint8 or frames.shape != (len(seeds_N), config.height, config.width, 3):
            raise ValueError(
                f"expected uint8 frames ({len(seeds_N)}, {config.height}, {config.width}, 3), got {frames.dtype} "
                f"{frames.shape}"
            )
        self._frames = torch.from_numpy(frames.copy())
        self._poses = np.array(T_base_tcp_N44, dtype=float)
        self._openness = np.array(openness_N, dtype=float)
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds_N]
        self._history: Tensor | None = None
        if config.history_order != "none":
            for clips_NFHW3 in past_PNFHW3:
                self._remember(self._encoded(torch.from_numpy(clips_NFHW3)))
        return action.proprioception(self._poses, self._openness).astype(np.float32)

    @torch.no_grad()
    def step(self, chunk_NK7: np.ndarray) -> Imagined:
        """Imagine one chunk of every rollout. Raises ValueError on a wrong shape or a number that is not finite."""
        config, device = self.model.prophet, self.model.device
        actions = scalar_actions(config, chunk_NK7)
        poses, openness = (
            np.stack(part)
            for part in zip(*[action.integrate(p, c) for p, c in zip(self._poses, chunk_NK7, strict=True)], strict=True)
        )
        noise = torch.stack([torch.randn(config.latent_shape, generator=g) for g in self._generators])
        clips, frames, success = [], [], []
        for first in range(0, len(actions), self.batch):
            part = slice(first, first + self.batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                clip, held = self._imagine(
                    actions[part].to(device), noise[part].to(device), part, poses[part], openness[part]
                )
                given = self._frames[part].to(device)
                frames.append(self.autoencoder.decode(clip, given)[:, 1:].cpu())
            clips.append(clip)
            success += [held.cpu()] if held is not None else []
        frames = torch.cat(frames)
        if config.history_order != "none":
            self._remember(torch.cat(clips))
        self._frames, self._poses, self._openness = frames[:, -1], poses[:, -1], openness[:, -1]
        proprio = action.proprioception(poses, openness).astype(np.float32)
        return Imagined(frames.numpy(), proprio, poses, torch.cat(success).numpy() if success else None)

    def _remember(self, clips_NCThw: Tensor) -> None:
        self._history = extended_history(self._history, clips_NCThw, self.model.prophet.history_frames)

    @torch.no_grad()
    def _encoded(self, clips_NFHW3: Tensor) -> Tensor:
        return torch.cat([self.autoencoder.encode(c.to(self.model.device)) for c in clips_NFHW3.split(self.batch)])

    def _imagine(
        self, actions_BKA: Tensor, noise_BCThw: Tensor, part: slice, poses, openness
    ) -> tuple[Tensor, Tensor | None]:
        """Latents (B, C, T, h, w) of one batch's clips, and the probabilities (B, T - 1) of success.

        The state head is read at every sampling step; its mean is what counts.
        """
        config = self.model.prophet
        start_BC1hw = self.autoencoder.encode(self._frames[part, None].to(noise_BCThw.device))
        known = noise_BCThw.new_zeros(noise_BCThw.shape[0], config.latent_frames)
        known[:, 0] = 1
        drawn = None
        if config.frame_stream != "none":
            poses = np.concatenate([self._poses[part, None], poses], axis=1)
            openness = np.concatenate([self._openness[part, None], openness], axis=1)
            drawn = encoded_action_frames(config, self.view, self.autoencoder, poses, openness)
        history = None if self._history is None else self._history[part]
        condition = self.model.condition(known, actions_BKA if config.scalar_stream else None, drawn, history)
        given, read = start_BC1hw.expand_as(noise_BCThw), []

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            v, states = self.model.with_states(x, t, condition)
            read.append(states)
            return v

        clip = sample(velocity, noise_BCThw, given, known, self.sampler)
        if read[0] is None:
            return clip, None
        return clip, success_probability(torch.stack(read)).mean(0)[:, 1:]
