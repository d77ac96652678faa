"""Clips as the latents that Prophet predicts, and back to pictures.

"plain" takes the autoencoder's latents as they are, as the paper does. "changes" keeps the given frame's and codes
every later one as its difference from that frame standing still: a cell in which nothing moves is all zeros, so that a
small network spends nothing on copying it. Back in pixels, what did not change is the given frame's own, not the
autoencoder's; a rollout of many chunks neither blurs nor drifts there.

Dimensions: B clip, F pixel frame (the given one first), H W pixels, C T h w latents.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import TEMPORAL_STRIDE, ProphetConfig

UNCHANGED, CHANGED = 5.0, 15.0  # grey levels of the decoded difference: below the first nothing moved


def _still(frame_BHW3: Tensor, frames: int) -> Tensor:
    return frame_BHW3[:, None].expand(-1, frames, -1, -1, -1)


def _unit(config: ProphetConfig, like: Tensor) -> Tensor:
    return torch.tensor(config.autoencoder.change_std, device=like.device).view(1, -1, 1, 1, 1)


def encode_clips(config: ProphetConfig, autoencoder: VideoAutoencoder, frames_BFHW3: Tensor) -> Tensor:
    """Coded latents (B, C, T, h, w) of uint8 clips; ValueError unless F = 1 + 4 n."""
    latents = autoencoder.encode(frames_BFHW3)
    if config.latent_coding == "plain":
        return latents
    still = autoencoder.encode(_still(frames_BFHW3[:, 0], frames_BFHW3.shape[1]))
    changes = (latents - still)[:, :, 1:] / _unit(config, latents)
    return torch.cat([still[:, :, :1], changes], dim=2)


def encode_given(autoencoder: VideoAutoencoder, frame_BHW3: Tensor) -> Tensor:
    """Latents (B, C, 1, h, w) of given frames, the same in either coding."""
    return autoencoder.encode(frame_BHW3[:, None])


def decode_clips(
    config: ProphetConfig, autoencoder: VideoAutoencoder, coded_BCThw: Tensor, given_BHW3: Tensor
) -> Tensor:
    """uint8 frames (B, F, H, W, 3) of coded latents; ``given`` are their first frames, on the same device."""
    if config.latent_coding == "plain":
        return autoencoder.decode(coded_BCThw)
    frames = 1 + TEMPORAL_STRIDE * (coded_BCThw.shape[2] - 1)
    still = autoencoder.encode(_still(given_BHW3, frames))
    latents = still + F.pad(coded_BCThw[:, :, 1:] * _unit(config, still), (0, 0, 0, 0, 1, 0))
    seen, unmoved = autoencoder.decode(torch.cat([latents, still])).float().chunk(2)
    difference_BF1HW = (seen - unmoved).abs().amax(-1)[:, :, None]
    nearby = F.max_pool2d(difference_BF1HW.flatten(0, 1), 3, stride=1, padding=1).view_as(difference_BF1HW)
    share = ((nearby - UNCHANGED) / (CHANGED - UNCHANGED)).clamp(0, 1).movedim(2, -1)
    return torch.lerp(_still(given_BHW3, frames).float(), seen, share).round().to(torch.uint8)
