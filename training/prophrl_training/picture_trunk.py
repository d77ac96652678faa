"""Small pictures, and the small convolutional network that looks at them: shared by the judge and its baseline.

Dimensions: B batch, C channels, S side of a small picture.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8  # of GroupNorm; widths are multiples of it


def shrunk(pictures: Tensor, size: int) -> Tensor:
    """RGB pictures (..., H, W, 3) uint8 averaged over areas to (..., size, size, 3) uint8; those of that size as is."""
    *lead, height, width, channels = pictures.shape
    if (height, width) == (size, size):
        return pictures
    flat = pictures.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    small = torch.cat([F.interpolate(part.float(), (size, size), mode="area") for part in flat.split(256)])
    return small.round_().to(torch.uint8).permute(0, 2, 3, 1).reshape(*lead, size, size, channels)


def trunk_side(size: int, widths: tuple[int, ...]) -> int:
    """Side of the trunk's output for pictures of ``size``: half of it for each width, rounded up."""
    for _ in widths:
        size = -(-size // 2)
    return size


def _block(channels: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, width), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = _block(width, width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class PictureTrunk(nn.Sequential):
    """(B, C, S, S) to (B, widths[-1], S / 2^n, S / 2^n) for n widths: each halves the sides."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        layers = [_block(channels, widths[0], 5, 2)]
        for before, width in itertools.pairwise(widths):
            layers += [_block(before, width, 3, 2), _Residual(width)]
        super().__init__(*layers)
