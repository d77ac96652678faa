"""The small flow policy: one third-person camera, proprioception, an instruction; 2.4 M weights.

Convolutions find features, a spatial softmax turns each feature map into the place where it is
strongest (Levine et al. 2016; some are taught where grippers close and open), and a residual MLP moves
the whole chunk. Time and condition modulate each block (adaptive layer norm, zero-initialised as in DiT),
so the condition is computed once per observation and K velocity evaluations are cheap on a CPU. The MLP predicts the chunk
itself, from which the velocity follows: a chunk is nearly determined by the observation, noise is not,
so this learns in a fraction of the steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prophrl_policy import instruction
from prophrl_policy.flow_policy import FlowPolicy, PolicyInput

SMALLEST_TIME = 1e-3  # velocities are not asked for at t = 0
PLACE_SCALE = 4.0  # objects stay within about a quarter of the image around its centre
GRIPPER_EVENTS = ("first closing", "last opening")  # what the first keypoints are the places of


@dataclass(frozen=True)
class SmallPolicyConfig:
    """Sizes; images are ``image_size`` square, RGB."""

    image_size: int = 128
    proprio_dim: int = 10
    action_dim: int = 7
    chunk_steps: int = 20
    flow_steps: int = 8
    channels: int = 48
    keypoints: int = 32
    token_width: int = 32
    condition_width: int = 256
    width: int = 384
    blocks: int = 3


class ImageEncoder(nn.Module):
    """RGB ``(B, S, S, 3)`` uint8 to log-probabilities of ``C`` keypoints over ``M x M`` places, M = S / 4.

    Keypoints are N = M * M way softmaxes; their expected places are what the policy sees of the image.
    The first ``len(GRIPPER_EVENTS)`` have a meaning, the others find their own.
    """

    def __init__(self, config: SmallPolicyConfig) -> None:
        super().__init__()
        channels, size = config.channels, config.image_size // 4
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels // 2, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, config.keypoints, 3, padding=1),
        )
        y, x = torch.meshgrid(cell_centres(size), cell_centres(size), indexing="ij")
        self.register_buffer("places_N2", torch.stack([x.reshape(-1), y.reshape(-1)], -1), persistent=False)

    def forward(self, image_BSSC: Tensor) -> Tensor:
        weight = self.convolutions[0].weight
        x_BCSS = image_BSSC.permute(0, 3, 1, 2).to(weight.dtype) / 127.5 - 1.0
        return self.convolutions(x_BCSS).flatten(2).log_softmax(-1)

    def expected_places(self, log_probability_BCN: Tensor) -> Tensor:
        """Keypoint places ``(B, C, 2)``: x right and y down, the image spanning [-1, 1]."""
        return log_probability_BCN.exp() @ self.places_N2


def cell_centres(size: int) -> Tensor:
    """Where ``size`` equal cells of [-1, 1] have their centres."""
    return (torch.arange(size) + 0.5) * (2.0 / size) - 1.0


def place_loss(log_probability_BCN: Tensor, place_BC2: Tensor) -> Tensor:
    """Cross entropy of keypoints against places in [-1, 1] (spread over the four nearest cells); NaN is ignored."""
    size = math.isqrt(log_probability_BCN.shape[-1])
    known_BC = place_BC2.isfinite().all(-1) & (place_BC2.abs() <= 1.0).all(-1)
    cell_BC2 = (torch.where(known_BC[..., None], place_BC2, 0.0) + 1.0) * (size / 2) - 0.5
    near_BC2M = (1.0 - (cell_BC2[..., None] - torch.arange(size)).abs()).clamp(min=0.0)
    goal_BCN = (near_BC2M[:, :, 1, :, None] * near_BC2M[:, :, 0, None, :]).flatten(2)
    entropy_BC = -(goal_BCN * log_probability_BCN).sum(-1)
    return (entropy_BC * known_BC).sum() / known_BC.sum().clamp(min=1)


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
            nn.Linear(2 * config.keypoints + config.proprio_dim + config.token_width, width),
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
        return self.encode(observation)[0]

    def encode(self, observation: PolicyInput) -> tuple[Tensor, Tensor]:
        """The condition, and the log-probabilities of the keypoints that mean gripper events ``(B, 2, N)``."""
        keypoints_BCN = self.encoder(observation.image_BHWC)
        places_BE = self.encoder.expected_places(keypoints_BCN).flatten(1)
        present_BL1 = (observation.tokens_BL != 0).unsqueeze(-1).to(places_BE.dtype)
        words_BE = (self.words(observation.tokens_BL) * present_BL1).sum(1) / present_BL1.sum(1).clamp(min=1)
        condition = self.fuse(torch.cat([PLACE_SCALE * places_BE, observation.proprio_BP, words_BE], -1))
        return condition, keypoints_BCN[:, : len(GRIPPER_EVENTS)]

    def velocity(self, condition: Tensor, x_BTD: Tensor, t_B: Tensor) -> Tensor:
        phase_BF = t_B.unsqueeze(-1) * self.frequencies_F
        c_BC = F.silu(condition + self.time(torch.cat([phase_BF.sin(), phase_BF.cos()], -1)))
        h_BW = self.enter(torch.cat([x_BTD.flatten(1), c_BC], -1))
        for block in self.blocks:
            h_BW = block(h_BW, c_BC)
        chunk_BTD = self.leave(F.relu(h_BW)).unflatten(1, (self.chunk_steps, self.action_dim))
        return (x_BTD - chunk_BTD) / t_B.clamp(min=SMALLEST_TIME)[:, None, None]
