"""An autoencoder without layers: patches of a clip on principal components, for cameras that stand still.

The given frame is coded as it is; every later latent holds what four frames change against it, patch by patch. Where
nothing moves that is zero, and a decoded clip shows the given frame's own pixels, so rollouts of many chunks neither
blur nor drift there. Fitted in seconds; at 64x64 pixels and few CPU hours of training AutoencoderKLWan stays behind it
(docs/results.md), and it costs next to nothing to run.

Dimensions: B clip, F pixel frame (the given one first), H W pixels, C channel, T h w latents, N patch, D its pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prophrl_world_model.config import TEMPORAL_STRIDE, PatchesConfig

UNIT = 127.5  # grey levels that become 1
LEAST_CHANGE = 1e-3  # mean square of a patch's change below which it does not count as one: 4 grey levels


def _patches(video_BFHW3: Tensor, frames: int, patch: int) -> Tensor:
    """Blocks of ``frames`` frames and ``patch`` pixels a side as rows (B, T, h, w, D)."""
    x = video_BFHW3.unflatten(1, (-1, frames)).unflatten(3, (-1, patch)).unflatten(5, (-1, patch))
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4)  # B T f h p w p 3 -> B T h w (f p p 3)


def _pictures(rows_BThwD: Tensor, frames: int, patch: int) -> Tensor:
    """The inverse of ``_patches``."""
    x = rows_BThwD.unflatten(4, (frames, patch, patch, 3)).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.flatten(1, 2).flatten(2, 3).flatten(3, 4)


def _components(rows_ND: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """The first principal axes (C, D) about zero, and a scale (C,) between the components' deviations and their mean,
    so that latents are of order 1 and those that hold little count for little."""
    axes = torch.linalg.eigh((rows_ND.T @ rows_ND).double()).eigenvectors.T.flip(0)[:channels].to(rows_ND)
    deviation = (rows_ND @ axes.T).square().mean(0).sqrt().clamp_min(1e-4)
    return axes, (deviation * deviation.mean()).sqrt()


class PatchAutoencoder(nn.Module):
    """Same use as ``VideoAutoencoder``: clips to latents of about unit size, and back onto their first frames."""

    def __init__(self, config: PatchesConfig):
        super().__init__()
        self.config = config
        C, D = config.channels, 3 * config.patch**2
        for name, shape in {
            "mean": (D,), "given_axes": (C, D), "given_scale": (C,),
            "change_axes": (C, TEMPORAL_STRIDE * D), "change_scale": (C,),
        }.items():  # fmt: skip
            self.register_buffer(name, torch.ones(shape) if name.endswith("scale") else torch.zeros(shape))

    @property
    def stored(self) -> nn.Module:
        """What a file of weights holds."""
        return self

    @torch.no_grad()
    def fit(self, frames_BFHW3: Tensor) -> None:
        """Take the components from uint8 clips; ValueError when too little changes in them."""
        video = frames_BFHW3.float() / UNIT - 1
        given = _patches(video[:, :1], 1, self.config.patch).flatten(0, 3)
        changes = _patches(video[:, 1:] - video[:, :1], TEMPORAL_STRIDE, self.config.patch).flatten(0, 3)
        changes = changes[changes.square().mean(1) > LEAST_CHANGE]
        if min(len(given), len(changes)) < 2 * self.config.channels:
            raise ValueError(f"expected {2 * self.config.channels} patches that change, got {len(changes)}")
        self.mean.copy_(given.mean(0))
        for name, rows in (("given", given - self.mean), ("change", changes)):
            axes, scale = _components(rows, self.config.channels)
            getattr(self, f"{name}_axes").copy_(axes)
            getattr(self, f"{name}_scale").copy_(scale)

    def encode(self, frames_BFHW3: Tensor) -> Tensor:
        """Latents (B, C, T, h, w) of uint8 frames (B, F, H, W, 3), F = 1 + 4 n; ValueError for another F."""
        if frames_BFHW3.shape[1] % TEMPORAL_STRIDE != 1:
            raise ValueError(f"expected 1 + {TEMPORAL_STRIDE} n frames, got {frames_BFHW3.shape[1]}")
        video = frames_BFHW3.float() / UNIT - 1
        given = (_patches(video[:, :1], 1, self.config.patch) - self.mean) @ self.given_axes.T / self.given_scale
        changes = _patches(video[:, 1:] - video[:, :1], TEMPORAL_STRIDE, self.config.patch)
        latents = torch.cat([given, changes @ self.change_axes.T / self.change_scale], dim=1)
        return latents.permute(0, 4, 1, 2, 3)

    def decode(self, latents_BCThw: Tensor, given_BHW3: Tensor) -> Tensor:
        """uint8 frames (B, 4 T - 3, H, W, 3): the given ones, then what the latents make of them.

        A patch whose change is too small to be one keeps its pixels, and up to twice as much counts in part: over many
        chunks nothing adds up. In simulated cells 0.2 % of all change is lost by it.
        """
        coded = latents_BCThw[:, :, 1:].float().permute(0, 2, 3, 4, 1)
        changes = (coded * self.change_scale) @ self.change_axes
        size = changes.square().mean(-1, keepdim=True)
        changes = changes * ((size / LEAST_CHANGE - 1) / 3).clamp(0, 1)
        video = _pictures(changes, TEMPORAL_STRIDE, self.config.patch)
        later = (given_BHW3[:, None].float() + UNIT * video).round_().clamp_(0, 255).to(torch.uint8)
        return torch.cat([given_BHW3[:, None], later], dim=1)
