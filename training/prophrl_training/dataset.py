"""Demonstrations as training batches, a pure function of (seed, step), with augmentation.

B batch, T chunk step, D action, P proprioception, S image size, N all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prophrl_policy.instruction import tokenize
from prophrl_policy.normalisation import Statistics
from prophrl_training.demonstrations import Demonstrations


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes to an image; all zero leaves it as it is."""

    shift: int = 3  # pixels, each axis, edge repeated
    brightness: float = 0.15  # share of full scale
    contrast: float = 0.2
    channel_gain: float = 0.1  # per colour channel
    noise: float = 0.02  # deviation, share of full scale
    proprio_noise: float = 0.05  # deviations


class Batch(NamedTuple):
    """Normalised numpy arrays in the order the network takes them, and the target chunk."""

    image_BSSC: np.ndarray
    proprio_BP: np.ndarray
    tokens_BL: np.ndarray
    chunk_BTD: np.ndarray


class ChunkDataset:
    """Every step of every episode is a sample; after an episode's end the arm rests and the grip stays."""

    def __init__(self, demonstrations: Demonstrations, statistics: Statistics, chunk_steps: int) -> None:
        self._images_NSSC = demonstrations.images_NSSC
        self._proprio_NP = statistics.normalise_proprio(demonstrations.proprio_NP)
        self._tokens_L = tokenize(demonstrations.facts["instruction"])
        chunks_NTD = chunk_targets(demonstrations.actions_ND, demonstrations.starts_E1, chunk_steps)
        self._chunks_NTD = statistics.normalise_actions(chunks_NTD)

    def __len__(self) -> int:
        return len(self._chunks_NTD)

    def batch(self, size: int, seed: int, step: int, augmentation: AugmentationConfig | None) -> Batch:
        """The batch of one step: the same for the same arguments, whatever came before."""
        rng = np.random.default_rng([seed, step])
        picks_B = rng.integers(len(self), size=size)
        images_BSSC, proprio_BP = self._images_NSSC[picks_B], self._proprio_NP[picks_B]
        if augmentation is not None:
            images_BSSC = augment(images_BSSC, augmentation, rng)
            noise_BP = rng.normal(0.0, augmentation.proprio_noise, proprio_BP.shape)
            proprio_BP = (proprio_BP + noise_BP).astype(np.float32)
        return Batch(images_BSSC, proprio_BP, np.tile(self._tokens_L, (size, 1)), self._chunks_NTD[picks_B])


def chunk_targets(actions_ND: np.ndarray, starts_E1: np.ndarray, chunk_steps: int) -> np.ndarray:
    """For each step the actions of the next ``chunk_steps`` (N, T, D); rest and the last openness after the end."""
    chunks_NTD = np.zeros((len(actions_ND), chunk_steps, actions_ND.shape[1]), actions_ND.dtype)
    for start, end in zip(starts_E1[:-1], starts_E1[1:], strict=True):
        rest_D = np.zeros_like(actions_ND[0])
        rest_D[-1] = actions_ND[end - 1, -1]
        padded = np.concatenate([actions_ND[start:end], np.tile(rest_D, (chunk_steps, 1))])
        for step in range(end - start):
            chunks_NTD[start + step] = padded[step : step + chunk_steps]
    return chunks_NTD


def augment(images_BSSC: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """Shift, brightness, contrast, channel gain and noise, drawn per image; uint8 in and out."""
    batch, size = images_BSSC.shape[:2]
    s = config.shift
    padded = np.pad(images_BSSC, ((0, 0), (s, s), (s, s), (0, 0)), mode="edge")
    gain_B3 = 1.0 + rng.uniform(-1, 1, (batch, 1)) * config.contrast
    gain_B3 = gain_B3 * (1.0 + rng.uniform(-1, 1, (batch, 3)) * config.channel_gain)
    offset_B = rng.uniform(-1, 1, batch) * config.brightness * 255
    shifts_B2 = rng.integers(0, 2 * s + 1, (batch, 2))
    grain = rng.standard_normal((size, size, 3), np.float32) * (config.noise * 255)
    out_BSSC = np.empty_like(images_BSSC)
    for b in range(batch):
        y, x = shifts_B2[b]
        pixels = padded[b, y : y + size, x : x + size].astype(np.float32)
        pixels = (pixels - 127.5) * gain_B3[b].astype(np.float32) + np.float32(127.5 + offset_B[b])
        pixels += np.roll(grain, tuple(rng.integers(size, size=2)), (0, 1))
        out_BSSC[b] = np.clip(pixels, 0, 255).astype(np.uint8)
    return out_BSSC
