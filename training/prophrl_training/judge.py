"""The small judge: whether a few frames up to now show that the task's goal has been held (method.md section 6).

Dimensions: N window or rollout, B batch, F frame of a rollout, K frame of a window, oldest first, S side of a small
picture. A window ends at a step and looks back in strides; before the first frame it repeats the first.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from prophrl_core.errors import UserError, check_whole_numbers
from torch import Tensor, nn

from prophrl_training.classifier_files import SuccessClassifier, check_widths
from prophrl_training.picture_trunk import GROUPS, PictureTrunk, shrunk, trunk_side

AT_ONCE = 256  # windows of one forward pass


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """Sizes. ``size`` pixels a side, ``frames`` a window, ``stride`` control steps between two of them."""

    size: int = 64
    frames: int = 4
    stride: int = 4
    widths: tuple[int, ...] = (32, 64, 96, 128)
    pooled: int = 32  # channels kept of each place
    hidden: int = 64

    def __post_init__(self) -> None:
        check_widths("judge", self.widths, GROUPS)
        ranges = {"size": (self.size, 8, 512), "frames": (self.frames, 1, 32), "stride": (self.stride, 1, 1000)}
        ranges |= {"pooled": (self.pooled, 1, 1024), "hidden": (self.hidden, 1, 4096)}
        check_whole_numbers("judge", ranges)


class Judge(SuccessClassifier):
    """All frames and their differences to the newest, stacked on channels, through a 2-D network: 0.5 M weights."""

    NAME, CONFIG = "judge", JudgeConfig

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__(config)
        side = trunk_side(config.size, config.widths)
        self.trunk = PictureTrunk(3 * (2 * config.frames - 1), config.widths)
        self.head = nn.Sequential(
            nn.Conv2d(config.widths[-1], config.pooled, 1), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Linear(config.pooled * side * side, config.hidden), nn.ReLU(inplace=True), nn.Linear(config.hidden, 1),
        )  # fmt: skip

    def forward(self, window_BKHW3: Tensor) -> Tensor:
        """Logit (B,) that the goal has been held by the window's last frame; uint8 RGB pictures of any size."""
        if window_BKHW3.ndim != 5 or window_BKHW3.shape[1] != self.config.frames:
            raise UserError(
                f"judge: expected windows (B, {self.config.frames}, H, W, 3), got {tuple(window_BKHW3.shape)}"
            )
        small = shrunk(window_BKHW3, self.config.size).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0  # (B, K, 3, S, S)
        past, newest = small[:, :-1], small[:, -1:]
        stacked = torch.cat([small, newest - past], 1).flatten(1, 2)
        return self.head(self.trunk(stacked))[:, 0]


def window_steps(ends_N: np.ndarray, config: JudgeConfig) -> np.ndarray:
    """The frames (N, K) of the windows that end at ``ends_N``."""
    back_K = config.stride * np.arange(config.frames - 1, -1, -1)
    return np.maximum(np.asarray(ends_N)[:, None] - back_K, 0)


def windows(frames_FHW3: np.ndarray, steps_N: np.ndarray, config: JudgeConfig) -> np.ndarray:
    """The windows (N, K, H, W, 3) that end at ``steps_N``."""
    return frames_FHW3[window_steps(steps_N, config)]


def window_ends(frames: int, every: int) -> np.ndarray:
    """Where windows of a rollout end: at ``every``, twice that, ... and at its last frame."""
    if every < 1 or frames < 1:
        raise UserError(f"judge: expected at least one frame and a look every 1 step or more, got {frames}, {every}")
    return np.unique(np.r_[np.arange(every, frames, every), frames - 1])


@torch.no_grad()
def rollout_logits(judge: Judge, frames_NFHW3: np.ndarray | Tensor, every: int) -> np.ndarray:
    """The largest logit (N,) float64 over the window ends of each rollout (N, F, H, W, 3) uint8, or of one."""
    frames = torch.as_tensor(frames_NFHW3)
    if frames.ndim == 4:
        frames = frames[None]
    if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise UserError(f"judge: expected uint8 frames (N, F, H, W, 3), got {frames.dtype} {tuple(frames.shape)}")
    judge.eval()
    device = next(judge.parameters()).device
    steps_EK = torch.from_numpy(window_steps(window_ends(frames.shape[1], every), judge.config)).to(device)
    best = []
    for rollout in frames:
        small = shrunk(rollout.to(device), judge.config.size)
        logits = torch.cat([judge(small[steps]) for steps in steps_EK.split(AT_ONCE)])
        best.append(logits.max().double().cpu())
    return torch.stack(best).numpy() if best else np.zeros(0)


def score_rollout(judge: Judge, frames_NFHW3: np.ndarray | Tensor, every: int) -> np.ndarray:
    """Probability (N,) that each rollout succeeds: that at some time from step ``every`` on the goal is held.

    It is the largest calibrated probability over the window ends; ``judge.calibration.threshold`` makes it a verdict.
    """
    return probability(rollout_logits(judge, frames_NFHW3, every), judge.calibration.temperature)


def probability(logits: np.ndarray, temperature: float) -> np.ndarray:
    """sigmoid(logit / temperature) in float64, safe for large numbers."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, float) / temperature))
