"""How a chunk of actions reaches the transformer: as numbers, as pictures, and beside what was seen before.

Dimensions: B batch, K action step, A action dimension of all arms, C latent channel, T latent frame, H W latent
height and width, D width of the transformer, L memory token. Sources: method.md section 2; the released model's names.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from prophrl_core import se3
from torch import Tensor, nn

from prophrl_world_model.config import ACTION_DIMS, ProphetConfig


def euler_xyz(rotvec: np.ndarray) -> np.ndarray:
    """Angles (..., 3) about the fixed x, y, z axes, R = Rz Ry Rx, of rotation vectors (..., 3); rad."""
    R = se3.rotvec_to_matrix(rotvec)
    cos_y = np.hypot(R[..., 0, 0], R[..., 1, 0])
    return np.stack(
        [
            np.arctan2(R[..., 2, 1], R[..., 2, 2]),
            np.arctan2(-R[..., 2, 0], cos_y),
            np.arctan2(R[..., 1, 0], R[..., 0, 0]),
        ],
        axis=-1,
    )


def scalar_actions(config: ProphetConfig, actions_BK7: np.ndarray) -> Tensor:
    """The scalar stream's input (B, K, 7 arms), float32, of core's action steps (B, K, 7) of one arm; the rest is zero.

    Raises ValueError on a wrong shape or a number that is not finite.
    """
    actions = np.asarray(actions_BK7, dtype=np.float64)
    if actions.ndim != 3 or actions.shape[1:] != (config.chunk_steps, ACTION_DIMS):
        raise ValueError(f"expected actions (B, {config.chunk_steps}, {ACTION_DIMS}), got {actions.shape}")
    if not np.isfinite(actions).all():
        raise ValueError("expected finite actions, got NaN or infinity")
    if config.rotation == "euler_xyz":
        actions = np.concatenate([actions[..., :3], euler_xyz(actions[..., 3:6]), actions[..., 6:]], axis=-1)
    padded = np.zeros((*actions.shape[:2], config.arms * ACTION_DIMS), dtype=np.float32)
    padded[..., :ACTION_DIMS] = actions * np.array(config.action_scale)
    return torch.from_numpy(padded)


class _Mlp(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class ScalarStream(nn.Module):
    """The flattened chunk as two vectors for every latent frame: (B, 1, D) and (B, 1, 3 D); zero when fresh."""

    def __init__(self, config: ProphetConfig):
        super().__init__()
        inputs, D = config.chunk_steps * config.arms * ACTION_DIMS, config.hidden
        self.to_D, self.to_3D = _Mlp(inputs, 4 * D, D), _Mlp(inputs, 4 * D, 3 * D)

    def forward(self, actions_BKA: Tensor) -> tuple[Tensor, Tensor]:
        flat = actions_BKA.flatten(1).unsqueeze(1)
        return self.to_D(flat), self.to_3D(flat)


def frame_encoding(frames: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal encoding (T, D) of the latent frame's number."""
    position = torch.arange(frames, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).flatten(1)


class PooledFrameStream(nn.Module):
    """Encoded action frames (B, C, T, H, W) as two vectors a frame, (B, T, D) and (B, T, 3 D); zero when fresh."""

    def __init__(self, config: ProphetConfig):
        super().__init__()
        D = config.hidden
        self.proj_in = nn.Conv3d(config.action_frame_channels, D, kernel_size=1)
        self.dw_spatial = nn.Conv3d(D, D, kernel_size=(1, 3, 3), padding=(0, 1, 1), groups=D, bias=False)
        self.pw_spatial = nn.Conv3d(D, D, kernel_size=1, bias=False)
        self.to_D = nn.Sequential(nn.LayerNorm(D), nn.Linear(D, D))
        self.to_3D = nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 3 * D))
        for layer in (self.proj_in, self.to_D[1], self.to_3D[1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents_BCTHW: Tensor, known_BT: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pw_spatial(self.dw_spatial(self.proj_in(latents_BCTHW)))
        x = x * (1 - known_BT)[:, None, :, None, None].to(x.dtype)
        x_BTD = x.mean(dim=(3, 4)).transpose(1, 2)
        x_BTD = x_BTD + frame_encoding(x_BTD.shape[1], x_BTD.shape[2], x_BTD.device).to(x_BTD.dtype)
        return self.to_D(x_BTD), self.to_3D(x_BTD)


class TokenFrameStream(nn.Module):
    """Encoded action frames (B, C, T, H, W), added (B, T, N, D) to the tokens of their places; zero when fresh."""

    def __init__(self, config: ProphetConfig):
        super().__init__()
        self.patch = config.patch
        self.proj = nn.Linear(config.action_frame_channels * config.patch**2, config.hidden, bias=False)
        nn.init.zeros_(self.proj.weight)

    def forward(self, latents_BCTHW: Tensor, known_BT: Tensor) -> Tensor:
        x = latents_BCTHW * (1 - known_BT)[:, None, :, None, None].to(latents_BCTHW.dtype)
        p = self.patch
        x = x.unflatten(3, (-1, p)).unflatten(5, (-1, p)).permute(0, 2, 3, 5, 1, 4, 6)  # B T H W C p p
        return self.proj(x.flatten(4)).flatten(2, 3)


class HistoryMemory(nn.Module):
    """Latents of past frames (B, C, T, H, W), newest first, as tokens for extra keys and values, both (B, L, D).

    Entry i is pooled at level ``min(round(log2(i + 1)), levels - 1)``: the first entry keeps the most tokens.
    """

    def __init__(self, config: ProphetConfig):
        super().__init__()
        C, D = config.autoencoder.channels, config.hidden
        self.pools, self.limit = config.memory_pools, config.memory_tokens
        self.chronological = config.history_order == "chronological"
        self.levels = nn.ModuleList(nn.Conv3d(C, D, kernel_size=1) for _ in self.pools)
        self.to_k, self.to_v = nn.Linear(D, D, bias=False), nn.Linear(D, D, bias=False)

    def forward(self, history_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        entries = history_BCTHW.flip(2) if self.chronological else history_BCTHW
        level_of = [min(round(math.log2(i + 1)), len(self.pools) - 1) for i in range(entries.shape[2])]
        tokens = []
        for level, (pool, project) in enumerate(zip(self.pools, self.levels, strict=True)):
            chosen = [i for i, at in enumerate(level_of) if at == level]
            if chosen:
                pooled = F.avg_pool3d(entries[:, :, chosen], (1, pool, pool))
                tokens.append(project(pooled).flatten(2).transpose(1, 2))
        memory_BLD = torch.cat(tokens, dim=1)[:, : self.limit]
        return self.to_k(memory_BLD), self.to_v(memory_BLD)
