"""What the scene does, read out of Prophet's tokens: where the objects are, contact, success (method.md section 9).

Plain latent loss falls while the ranking of rollouts stands still; a loss on these numbers reaches the trunk. The
numbers belong to the end of a latent frame. Dimensions: B batch, T latent frame, N tokens of one frame, D width,
S state numbers.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUMBERS_PER_OBJECT = 6  # place beside the TCP and upward axis, in the camera's axes
EVENTS = ("touching", "stopped", "success")
PLACE_SCALE = 0.1  # m that become 1
_POOLS = 4


def state_numbers(objects: int) -> int:
    """S."""
    return objects * NUMBERS_PER_OBJECT + len(EVENTS)


class StateHead(nn.Module):
    """Tokens (B, T, N, D) to state numbers (B, T, S): learned pooling over a frame's tokens, then two layers."""

    def __init__(self, hidden: int, objects: int):
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.pool = nn.Linear(hidden, _POOLS)
        self.inner = nn.Linear(_POOLS * hidden, hidden)
        self.outer = nn.Linear(hidden, state_numbers(objects))

    def forward(self, tokens_BTND: Tensor) -> Tensor:
        x = self.norm(tokens_BTND)
        share = self.pool(x).softmax(dim=2)
        pooled = torch.einsum("btnp,btnd->btpd", share, x).flatten(2)
        return self.outer(F.gelu(self.inner(pooled))).float()


def state_targets(
    objects_FOn: np.ndarray, events_FE: np.ndarray, T_base_tcp_F44: np.ndarray, T_base_camera: np.ndarray, objects: int
) -> np.ndarray:
    """State numbers (F, S) float32; NaN where there is no such object.

    ``objects_FOn`` holds for each object its position and the first two columns of its rotation (9), base frame.
    """
    frames, known = objects_FOn.shape[:2]
    out = np.full((frames, objects, NUMBERS_PER_OBJECT), np.nan, np.float32)
    shown = min(known, objects)
    to_camera = T_base_camera[:3, :3].T
    place = (objects_FOn[:, :shown, :3] - T_base_tcp_F44[:, None, :3, 3]) @ to_camera.T / PLACE_SCALE
    up = np.cross(objects_FOn[:, :shown, 3:6], objects_FOn[:, :shown, 6:9]) @ to_camera.T
    out[:, :shown] = np.concatenate([place, up], axis=-1)
    return np.concatenate([out.reshape(frames, -1), events_FE.astype(np.float32)], axis=1)


def state_loss(predicted_BTS: Tensor, target_BTS: Tensor) -> Tensor:
    """Huber loss of the objects plus cross-entropy of the events, over the numbers that are known (not NaN)."""
    known = torch.isfinite(target_BTS)
    target = torch.where(known, target_BTS, 0.0)
    E = len(EVENTS)
    place = F.smooth_l1_loss(predicted_BTS[..., :-E], target[..., :-E], reduction="none", beta=0.2)
    event = F.binary_cross_entropy_with_logits(predicted_BTS[..., -E:], target[..., -E:].clamp(0, 1), reduction="none")
    loss = torch.cat([place, event], dim=-1)
    return (loss * known).sum() / known.sum().clamp_min(1)


def success_probability(states_BTS: Tensor) -> Tensor:
    """Probability (B, T) that the goal has been held by the end of each latent frame."""
    return states_BTS[..., -1].sigmoid()
