"""The small flow policy: one third-person camera, proprioception, an instruction; 2.4 M weights.

Convolutions find features, a spatial softmax turns each feature map into the place where it is
strongest (Levine et al. 2016), and a residual MLP predicts the velocity of the whole chunk. Time and
condition modulate each block (adaptive layer norm, zero-initialised as in DiT), so the condition is
computed once per observation and K velocity evaluations are cheap on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prophrl_policy import instruction
from prophrl_policy.flow_policy import FlowPolicy, PolicyInput

DATA_DEVIATION = 0.5  # of normalised actions, about


@dataclass(frozen=True)
class SmallPolicyConfig:
    """Sizes; images are ``image_size`` square, RGB."""

    image_size: int = 128
    proprio_dim: int = 10
    action_dim: int = 7
    chunk_steps: int = 20
    flow_steps: int = 8
    channels: int = 48
    keypoints: int = 48
    token_width: int = 32
    condition_width: int = 256
    width: int = 384
    blocks: int = 3


class SpatialSoftmax(nn.Module):
    """Feature maps ``(B, C, H, W)`` to expected positions in [-1, 1] and peak strengths ``(B, 3 C)``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
        self.register_buffer("grid_N2", torch.stack([x.reshape(-1), y.reshape(-1)], -1), persistent=False)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        logits_BCN = maps_BCHW.flatten(2)
        weights_BCN = logits_BCN.softmax(-1)
        places_BC2 = weights_BCN @ self.grid_N2
        strength_BC = torch.tanh(0.1 * (weights_BCN * logits_BCN).sum(-1))
        return torch.cat([places_BC2.flatten(1), strength_BC], -1)


class ImageEncoder(nn.Module):
    """RGB ``(B, H, W, 3)`` uint8 to keypoints; two strides of two, so maps are H/4 x W/4."""

    def __init__(self, config: SmallPolicyConfig) -> None:
        super().__init__()
        channels = config.channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels // 2, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, config.keypoints, 3, padding=1),
        )
        self.keypoints = SpatialSoftmax(config.image_size // 4)

    def forward(self, image_BHWC: Tensor) -> Tensor:
        weight = self.convolutions[0].weight
        x_BCHW = image_BHWC.permute(0, 3, 1, 2).to(weight.dtype) / 127.5 - 1.0
        return self.keypoints(self.convolutions(x_BCHW))


class ModulatedBlock(nn.Module):
    """``h + gate * MLP(scale * norm(h) + shift)`` with scale, shift and gate from the condition."""

    def __init__(self, width: int, condition_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition_width, 3 * width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h_BW: Tensor, c_BC: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(c_BC).chunk(3, -1)
        return h_BW + gate * self.mlp(self.norm(h_BW) * (1 + scale) + shift)


class SmallPolicy(FlowPolicy):
    """See the module's docstring; ``condition`` is one vector ``(B, condition_width)``."""

    def __init__(self, config: SmallPolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.chunk_steps, self.action_dim = config.chunk_steps, config.action_dim
        self.flow_steps = config.flow_steps
        width, condition = config.width, config.condition_width
        self.encoder = ImageEncoder(config)
        self.words = nn.Embedding(instruction.BUCKETS, config.token_width, padding_idx=0)
        self.fuse = nn.Sequential(
            nn.Linear(3 * config.keypoints + config.proprio_dim + config.token_width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, condition),
        )
        self.time = nn.Sequential(nn.Linear(64, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.enter = nn.Linear(config.chunk_steps * config.action_dim + condition, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, condition) for _ in range(config.blocks))
        self.leave = nn.Linear(width, config.chunk_steps * config.action_dim)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        frequencies = torch.exp(torch.linspace(math.log(1.0), math.log(200.0), 32))
        self.register_buffer("frequencies_F", frequencies, persistent=False)

    def condition(self, observation: PolicyInput) -> Tensor:
        keypoints = self.encoder(observation.image_BHWC)
        present_BL1 = (observation.tokens_BL != 0).unsqueeze(-1).to(keypoints.dtype)
        words = (self.words(observation.tokens_BL) * present_BL1).sum(1) / present_BL1.sum(1).clamp(min=1)
        return self.fuse(torch.cat([keypoints, observation.proprio_BP, words], -1))

    def velocity(self, condition: Tensor, x_BTD: Tensor, t_B: Tensor) -> Tensor:
        phase_BF = t_B.unsqueeze(-1) * self.frequencies_F
        c_BC = F.silu(condition + self.time(torch.cat([phase_BF.sin(), phase_BF.cos()], -1)))
        h_BW = self.enter(torch.cat([x_BTD.flatten(1), c_BC], -1))
        for block in self.blocks:
            h_BW = block(h_BW, c_BC)
        correction_BTD = self.leave(F.relu(h_BW)).unflatten(1, (self.chunk_steps, self.action_dim))
        return best_linear_velocity(x_BTD, t_B) + correction_BTD


def best_linear_velocity(x_BTD: Tensor, t_B: Tensor) -> Tensor:
    """The best guess at ``eps - x_0`` from ``x_t`` alone, for data of deviation ``DATA_DEVIATION``.

    The network learns only what is missing from it (the idea of preconditioning, Karras et al. 2022).
    """
    t_B11, variance = t_B[:, None, None], DATA_DEVIATION**2
    gain_B11 = (t_B11 - (1 - t_B11) * variance) / (t_B11**2 + (1 - t_B11) ** 2 * variance)
    return gain_B11 * x_BTD
