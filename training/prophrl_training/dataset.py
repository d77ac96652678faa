"""Demonstrations as training batches, a pure function of (seed, step), with augmentation.

B batch, T chunk step, D action, P proprioception, S image size, N all steps, E gripper event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CameraSpec
from prophrl_core.task import PolicyImage
from prophrl_policy.instruction import tokenize
from prophrl_policy.normalisation import Statistics

from prophrl_training.demonstrations import Demonstrations


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes to an image; all zero leaves it as it is."""

    shift: int = 1  # pixels, each axis, edge repeated; a fixed camera must not move much
    brightness: float = 0.2  # share of full scale
    contrast: float = 0.35
    channel_gain: float = 0.2  # per colour channel
    gamma: float = 0.3  # log of the exponent
    noise: float = 0.02  # deviation, share of full scale
    proprio_noise: float = 0.05  # deviations


class Batch(NamedTuple):
    """Normalised numpy arrays in the order the network takes them, and the targets."""

    image_BSSC: np.ndarray
    proprio_BP: np.ndarray
    tokens_BL: np.ndarray
    chunk_BTD: np.ndarray
    gripper_BE2: np.ndarray  # where in the image the gripper acts in this episode, NaN if it does not


class ChunkDataset:
    """Every step of every episode is a sample; after an episode's end the arm rests and the grip stays."""

    def __init__(
        self,
        demonstrations: Demonstrations,
        statistics: Statistics,
        chunk_steps: int,
        camera: CameraSpec,
        image: PolicyImage,
    ) -> None:
        self._images_NSSC = demonstrations.images_NSSC
        self._proprio_NP = statistics.normalise_proprio(demonstrations.proprio_NP)
        self._tokens_L = tokenize(demonstrations.facts["instruction"])
        chunks_NTD = chunk_targets(demonstrations.actions_ND, demonstrations.starts_E1, chunk_steps)
        self._chunks_NTD = statistics.normalise_actions(chunks_NTD)
        points_N23 = gripper_points(demonstrations)
        self._gripper_N22 = places_in_image(points_N23, camera, image).astype(np.float32)

    def __len__(self) -> int:
        return len(self._chunks_NTD)

    def batch(self, size: int, seed: int, step: int, augmentation: AugmentationConfig | None) -> Batch:
        """The batch of one step: the same for the same arguments, whatever came before."""
        rng = np.random.default_rng([seed, step])
        picks_B = rng.integers(len(self), size=size)
        images_BSSC, proprio_BP = self._images_NSSC[picks_B], self._proprio_NP[picks_B]
        gripper_BE2 = self._gripper_N22[picks_B]
        if augmentation is not None:
            images_BSSC, shift_B2 = augment(images_BSSC, augmentation, rng)
            gripper_BE2 = gripper_BE2 + shift_B2[:, None] * np.float32(2.0 / images_BSSC.shape[1])
            noise_BP = rng.normal(0.0, augmentation.proprio_noise, proprio_BP.shape)
            proprio_BP = (proprio_BP + noise_BP).astype(np.float32)
        tokens_BL = np.tile(self._tokens_L, (size, 1))
        return Batch(images_BSSC, proprio_BP, tokens_BL, self._chunks_NTD[picks_B], gripper_BE2)


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


def gripper_points(demonstrations: Demonstrations) -> np.ndarray:
    """For each step where (m, base) its episode's gripper first closes and last opens (N, 2, 3); NaN if never."""
    points_N23 = np.full((len(demonstrations.actions_ND), 2, 3), np.nan)
    open_N = demonstrations.actions_ND[:, -1] > 0.5
    starts = demonstrations.starts_E1
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        changes = start + 1 + np.flatnonzero(open_N[start + 1 : end] != open_N[start : end - 1])
        closing, opening = changes[~open_N[changes]][:1], changes[open_N[changes]][-1:]
        for event, step in ((0, closing), (1, opening)):
            if len(step):
                points_N23[start:end, event] = demonstrations.proprio_NP[step[0], :3]
    return points_N23


def places_in_image(points_N23: np.ndarray, camera: CameraSpec, image: PolicyImage) -> np.ndarray:
    """Points (..., 3) in base as places (..., 2) in the policy's image, which spans [-1, 1]."""
    T_camera_base = se3.inverse(camera.pose)
    pixels, _ = camera.model.project(points_N23 @ T_camera_base[:3, :3].T + T_camera_base[:3, 3])
    x, y, width, height = image.crop
    return (pixels + 0.5 - [x, y]) * [2.0 / width, 2.0 / height] - 1.0


def augment(
    images_BSSC: np.ndarray, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shift, brightness, contrast, channel gain, gamma and noise, drawn per image: uint8 in and out.

    Also returns by how many pixels (x, y) the contents of each image moved, (B, 2) float32.
    """
    batch, size = images_BSSC.shape[:2]
    s = config.shift
    padded = np.pad(images_BSSC, ((0, 0), (s, s), (s, s), (0, 0)), mode="edge")
    gain_B3 = 1.0 + rng.uniform(-1, 1, (batch, 1)) * config.contrast
    gain_B3 = gain_B3 * (1.0 + rng.uniform(-1, 1, (batch, 3)) * config.channel_gain)
    offset_B = rng.uniform(-1, 1, batch) * config.brightness * 255
    shifts_B2 = rng.integers(0, 2 * s + 1, (batch, 2))
    gamma_B = np.exp(rng.uniform(-1, 1, batch) * config.gamma).astype(np.float32)
    grain = rng.standard_normal((size, size, 3), np.float32) * (config.noise * 255)
    out_BSSC = np.empty_like(images_BSSC)
    for b in range(batch):
        y, x = shifts_B2[b]
        pixels = padded[b, y : y + size, x : x + size].astype(np.float32)
        pixels = 255.0 * (pixels / 255.0) ** gamma_B[b]
        pixels = (pixels - 127.5) * gain_B3[b].astype(np.float32) + np.float32(127.5 + offset_B[b])
        pixels += np.roll(grain, tuple(rng.integers(size, size=2)), (0, 1))
        out_BSSC[b] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return out_BSSC, (s - shifts_B2[:, ::-1]).astype(np.float32)
