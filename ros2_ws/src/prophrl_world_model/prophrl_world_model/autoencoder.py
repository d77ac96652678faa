"""The video autoencoder: diffusers' AutoencoderKLWan with unit latents, over batches of clips.

Dimensions: B clip, F pixel frame, H W pixels, C latent channel, T latent frame, h w latent height and width.
The first pixel frame makes the first latent frame, every four after it one more.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResidualBlock
from torch import Tensor, nn

from prophrl_world_model.config import TEMPORAL_STRIDE, AutoencoderConfig, PatchesConfig
from prophrl_world_model.patch_autoencoder import PatchAutoencoder

FIRST_LOG_VARIANCE = -6.0


def to_unit(frames_BFHWC: Tensor) -> Tensor:
    """uint8 frames (B, F, H, W, 3) as float (B, 3, F, H, W) in [-1, 1]."""
    return frames_BFHWC.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def to_frames(video_BCFHW: Tensor) -> Tensor:
    """The inverse of ``to_unit``, rounded and clipped."""
    return ((video_BCFHW.float() + 1.0) * 127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 4, 1)


class VideoAutoencoder(nn.Module):
    """Clips to latents of mean 0 and variance 1 per channel, and back."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.wan = AutoencoderKLWan(
            base_dim=config.base_dim, z_dim=config.channels, dim_mult=list(config.dim_mult),
            num_res_blocks=config.residual_blocks, temperal_downsample=list(config.halves_time),
            latents_mean=list(config.mean), latents_std=list(config.std),
            in_channels=3 * config.pixel_patch**2, out_channels=3 * config.pixel_patch**2,
            patch_size=config.pixel_patch if config.pixel_patch > 1 else None,
        )  # fmt: skip
        for module in self.wan.modules():
            if isinstance(module, nn.Conv3d):  # up to twice as fast on a CPU
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
        shape = (1, config.channels, 1, 1, 1)
        self.register_buffer("mean", torch.tensor(config.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(shape), persistent=False)

    @torch.no_grad()
    def initialise(self) -> None:
        """Weights to train from. The usual ones stall at a mean picture for thousands of steps: their biases outweigh
        the signal in front of the RMS norms, and the latents' noise drowns what little there is."""
        for module in self.wan.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)
        for module in self.wan.modules():
            if isinstance(module, WanResidualBlock):
                nn.init.zeros_(module.conv2.weight)
        spread = slice(self.config.channels, None)
        self.wan.quant_conv.weight[spread] = 0.0
        self.wan.quant_conv.bias[spread] = FIRST_LOG_VARIANCE

    @property
    def stored(self) -> nn.Module:
        """What a file of weights holds."""
        return self.wan

    def encode(self, frames_BFHWC: Tensor) -> Tensor:
        """Latents (B, C, T, h, w) of uint8 frames (B, F, H, W, 3), F = 1 + 4 n; ValueError for another F."""
        frames = frames_BFHWC.shape[1]
        if frames % TEMPORAL_STRIDE != 1:
            raise ValueError(f"expected 1 + {TEMPORAL_STRIDE} n frames, got {frames}")
        video = to_unit(frames_BFHWC).to(self.wan.dtype)
        return (self.wan.encode(video).latent_dist.mode().float() - self.mean) / self.std

    def decode(self, latents_BCThw: Tensor, given_BHWC: Tensor | None = None) -> Tensor:
        """uint8 frames (B, 4 T - 3, H, W, 3) of latents; the given first frames are not needed here."""
        latents = (latents_BCThw * self.std + self.mean).to(self.wan.dtype)
        return to_frames(self.wan.decode(latents).sample)


Autoencoder = VideoAutoencoder | PatchAutoencoder


def make_autoencoder(config: AutoencoderConfig | PatchesConfig) -> Autoencoder:
    """A fresh autoencoder of the kind that ``config`` describes."""
    return PatchAutoencoder(config) if isinstance(config, PatchesConfig) else VideoAutoencoder(config)
