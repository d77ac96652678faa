"""Training Prophet's video autoencoder on clips of a dataset, from nothing.

Batches are pure functions of (seed, step). What moves and what is small decides about a grasp, so pixels that change
within a clip count for more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from prophrl_core.errors import UserError
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import PatchesConfig
from prophrl_world_model.patch_autoencoder import PatchAutoencoder
from prophrl_world_model.training_losses import ReconstructionLossConfig, reconstruction_loss, training_step
from torch import Tensor

from prophrl_training.datasets.reader import Dataset
from prophrl_training.schedule import cosine_rate
from prophrl_training.training_state import WeightAverage, load_state, save_state

STATE = "autoencoder.pt"
BETAS = (0.9, 0.99)
KEPT_BYTES = 6 * 2**30


@dataclasses.dataclass(frozen=True)
class AutoencoderTraining:
    """``clip`` pictures, 1 + 4 n, are seen at once. ``decoder_only`` keeps the latents as they are."""

    steps: int = 2000
    batch: int = 4
    clip: int = 9
    seed: int = 0
    learning_rate: float = 4e-3
    warm_up: int = 100
    final_share: float = 0.05
    averaging: float = 0.995
    precision: str = "float32"  # or bfloat16
    save_every: int = 100
    decoder_only: bool = False
    loss: ReconstructionLossConfig = ReconstructionLossConfig()


class ClipSource:
    """Random clips of a dataset's pictures at one size. Episodes stay in memory, shrunk, while there is room."""

    def __init__(self, dataset: Dataset, key: str, size: tuple[int, int], positions: list[int]):
        self.dataset, self.key, self.size = dataset, key, size
        self.positions = positions
        self._kept: dict[int, np.ndarray] = {}
        self._room = KEPT_BYTES
        if key not in dataset.image_keys:
            raise UserError(f"{dataset.folder}: expected pictures {key}, got {', '.join(dataset.image_keys) or 'none'}")
        height, width, _ = dataset.features[key].shape
        if width * size[1] != height * size[0] or width < size[0]:
            wanted = f"{size[0]}x{size[1]} or larger and of that shape"
            raise UserError(f"{dataset.folder}: expected pictures of {wanted}, got {width}x{height}")

    def batch(self, seed: int, step: int, size: int, clip: int) -> np.ndarray:
        """Clips (B, F, H, W, 3) uint8; UserError when no episode is long enough."""
        rng = np.random.default_rng([seed, step, 3])
        able = [position for position in self.positions if self.dataset.episodes[position].length >= clip]
        if not able:
            raise UserError(f"{self.dataset.folder}: expected episodes of {clip} rows or more, got none; add episodes")
        clips = []
        for _ in range(size):
            position = able[rng.integers(len(able))]
            first = int(rng.integers(self.dataset.episodes[position].length - clip + 1))
            clips.append(self._pictures(position)[first : first + clip])
        return np.stack(clips)

    def _pictures(self, position: int) -> np.ndarray:
        """All pictures (F, H, W, 3) of an episode: to decode a whole one costs little more than a clip of it."""
        if position not in self._kept:
            frames = self.dataset.frames(position, self.key)
            pictures = np.stack([cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA) for picture in frames])
            if pictures.nbytes > self._room:
                return pictures
            self._kept[position] = pictures
            self._room -= pictures.nbytes
        return self._kept[position]


class AutoencoderTrainer:
    """Weights, their running average and the optimiser."""

    def __init__(self, autoencoder: VideoAutoencoder, source: ClipSource, config: AutoencoderTraining):
        self.source, self.config, self.done = source, config, 0
        self.autoencoder = autoencoder.requires_grad_(True).train()
        if config.decoder_only:
            autoencoder.wan.encoder.requires_grad_(False)
            autoencoder.wan.quant_conv.requires_grad_(False)
        self.average = WeightAverage(autoencoder.wan, config.averaging)
        self.optimiser = torch.optim.AdamW(
            [p for p in autoencoder.wan.parameters() if p.requires_grad], lr=config.learning_rate, betas=BETAS,
            weight_decay=0.0,
        )  # fmt: skip

    def step(self) -> float:
        """Do the next step and return its loss."""
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = cosine_rate(self.done, c.steps, c.learning_rate, c.warm_up, c.final_share)
        frames = torch.from_numpy(self.source.batch(c.seed, self.done, c.batch, c.clip))
        generator = torch.Generator().manual_seed(c.seed * 1_000_003 + self.done)
        with torch.autocast("cpu", torch.bfloat16, enabled=c.precision == "bfloat16"):
            loss = reconstruction_loss(self.autoencoder, frames, c.loss, generator)
        value, _ = training_step(self.autoencoder.wan, self.optimiser, loss)
        self.done += 1
        self.average.update(self.autoencoder.wan)
        return value

    @property
    def _identity(self) -> dict[str, str]:
        return {"config": repr(self.config), "model": repr(self.autoencoder.config)}

    def save(self, folder: Path) -> None:
        """Write what is needed to go on, whole or not at all."""
        state = {
            "done": self.done, "model": self.autoencoder.wan.state_dict(), "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip
        save_state(folder / STATE, self._identity, state)

    def resume(self, folder: Path) -> None:
        """Go on where a run with the same configuration left off; nothing happens where none did."""
        state = load_state(folder / STATE, self._identity)
        if state is None:
            return
        self.autoencoder.wan.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.resume(state["average"], state["done"])
        self.done = state["done"]

    def result(self) -> VideoAutoencoder:
        """The averaged autoencoder; unless only its decoder was trained, its latents are scaled to mean 0 and variance
        1 as measured on training clips."""
        config = self.autoencoder.config
        if self.config.decoder_only:
            self.autoencoder.wan.load_state_dict(self.average.weights)
            return self.autoencoder.requires_grad_(False).eval()
        zeros, ones = (0.0,) * config.channels, (1.0,) * config.channels
        measured = VideoAutoencoder(dataclasses.replace(config, mean=zeros, std=ones))
        measured.wan.load_state_dict(self.average.weights)
        latents = _latents(measured.eval(), self.source, self.config)
        dims = (0, 2, 3, 4)
        mean, std = latents.mean(dims), latents.std(dims).clamp_min(1e-3)
        final = VideoAutoencoder(dataclasses.replace(config, mean=tuple(mean.tolist()), std=tuple(std.tolist())))
        final.wan.load_state_dict(self.average.weights)
        return final.requires_grad_(False).eval()


@torch.no_grad()
def _latents(autoencoder: VideoAutoencoder, source: ClipSource, config: AutoencoderTraining) -> Tensor:
    batches = [source.batch(config.seed + 1, i, 16, config.clip) for i in range(8)]
    return torch.cat([autoencoder.encode(torch.from_numpy(frames)) for frames in batches])


def fit_patches(config: PatchesConfig, source: ClipSource, training: AutoencoderTraining) -> PatchAutoencoder:
    """A patch autoencoder from ``steps`` batches of clips."""
    autoencoder, c = PatchAutoencoder(config), training
    clips = np.concatenate([source.batch(c.seed, step, c.batch, c.clip) for step in range(c.steps)])
    try:
        autoencoder.fit(torch.from_numpy(clips))
    except ValueError as error:
        raise UserError(f"{source.dataset.folder}: {error}; add episodes in which the arm moves") from None
    return autoencoder.eval()


def train_autoencoder(
    autoencoder: VideoAutoencoder,
    source: ClipSource,
    config: AutoencoderTraining,
    folder: Path,
    progress: Callable[[int, float], None],
) -> VideoAutoencoder:
    """Train, or go on, until ``config.steps``. ``progress(step, loss)`` after each."""
    trainer = AutoencoderTrainer(autoencoder, source, config)
    trainer.resume(folder)
    while trainer.done < config.steps:
        loss = trainer.step()
        if trainer.done % config.save_every == 0 or trainer.done == config.steps:
            trainer.save(folder)
        progress(trainer.done, loss)
    return trainer.result()
