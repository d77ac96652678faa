"""Supervised fine-tuning of a flow policy: the one loop, top to bottom.

Each observation is encoded once and its chunk noised ``draws`` times, because the velocity network is
far cheaper than the image encoder. Batches and noise depend on (seed, step) alone and a checkpoint
holds everything else, so a killed run goes on exactly where it was.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from prophrl_core.errors import UserError
from prophrl_policy.flow_policy import PolicyInput, flow_matching_loss
from prophrl_policy.normalisation import Statistics
from prophrl_policy.small_policy import SmallPolicy, place_loss
from torch import Tensor

from prophrl_training.dataset import AugmentationConfig, Batch, ChunkDataset
from prophrl_training.schedule import cosine_rate
from prophrl_training.training_state import WeightAverage, load_state, save_state, write_curve

CHECKPOINT_NAME = "checkpoint.pt"
CURVE_NAME = "curve.csv"
CURVE_FIELDS = ("step", "loss", "validation_loss", "place_loss", "learning_rate", "gradient_norm", "seconds")


@dataclasses.dataclass(frozen=True)
class SftConfig:
    """Hyper-parameters of one run."""

    steps: int = 1200
    batch: int = 32
    draws: int = 8  # noise draws per observation
    learning_rate: float = 1e-3
    final_share: float = 0.02  # of the learning rate, at the cosine's end
    warmup: int = 100
    place_weight: float = 0.01  # of the keypoints' place loss
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    ema: float = 0.995
    seed: int = 0
    log_every: int = 20
    validate_every: int = 200
    checkpoint_every: int = 100
    augmentation: AugmentationConfig = AugmentationConfig()


class Trainer:
    """Weights, their moving average and the optimiser; ``run`` is the loop."""

    def __init__(self, network: SmallPolicy, config: SftConfig, folder: Path, statistics: Statistics) -> None:
        self.network, self.config, self.folder = network, config, folder
        self._identity = {"config": repr(config), "statistics": statistics.digest}
        self.average = WeightAverage(network, config.ema)
        self._optimiser = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay, fused=True)
        self.step = 0
        self._rows: list[dict[str, float]] = []

    def run(
        self, training: ChunkDataset, validation: ChunkDataset | None, report: Callable[[dict[str, float]], None]
    ) -> dict[str, float]:
        """Train to the last step, resuming from the folder's checkpoint; returns the last row of the curve."""
        config = self.config
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        started, before = time.monotonic(), self._rows[-1]["seconds"] if self._rows else 0.0
        self.network.train()
        total, total_place, since = 0.0, 0.0, 0
        while self.step < config.steps:
            batch = training.batch(config.batch, config.seed, self.step, config.augmentation)
            rate = cosine_rate(self.step, config.steps, config.learning_rate, config.warmup, config.final_share)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss, place = losses(self.network, batch, config.draws, _generator(config.seed, self.step))
            self._optimiser.zero_grad(set_to_none=True)
            (loss + config.place_weight * place).backward()
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
            if not torch.isfinite(norm):
                raise UserError(f"sft: the loss is not finite at step {self.step}; lower the learning rate")
            self._optimiser.step()
            self.step += 1
            self.average.update(self.network)
            total, total_place, since = total + float(loss.detach()), total_place + float(place.detach()), since + 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                row = {"step": self.step, "loss": total / since, "validation_loss": math.nan, "learning_rate": rate}
                row |= {"place_loss": total_place / since}
                row |= {"gradient_norm": float(norm), "seconds": before + time.monotonic() - started}
                if validation is not None and self.step % config.validate_every == 0:
                    row["validation_loss"] = self.validate(validation)
                self._rows.append(row)
                report(row)
                total, total_place, since = 0.0, 0.0, 0
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
        return self._rows[-1]

    @torch.no_grad()
    def validate(self, dataset: ChunkDataset, batches: int = 2) -> float:
        """Loss of the averaged weights on fixed batches and fixed noise."""
        network = self.averaged_network()
        total = 0.0
        for index in range(batches):
            batch = dataset.batch(128, 0, index, None)
            total += float(losses(network, batch, self.config.draws, _generator(0, index))[0])
        return total / batches

    def averaged_network(self) -> SmallPolicy:
        """A copy of the network with the moving-average weights, in evaluation mode."""
        network = type(self.network)(self.network.config)
        network.load_state_dict(self.average.weights)
        return network.eval()

    def _save(self) -> None:
        state = {
            "step": self.step, "network": self.network.state_dict(), "average": self.average.weights,
            "optimiser": self._optimiser.state_dict(), "rows": self._rows,
        }  # fmt: skip
        save_state(self.folder / CHECKPOINT_NAME, self._identity, state)
        write_curve(self.folder / CURVE_NAME, CURVE_FIELDS, self._rows)

    def _resume(self) -> None:
        state = load_state(self.folder / CHECKPOINT_NAME, self._identity)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.average.resume(state["average"], state["step"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self._rows = state["step"], state["rows"]


def losses(network: SmallPolicy, batch: Batch, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flow-matching loss with ``draws`` stratified noise levels per observation, and the keypoints' place loss."""
    image, proprio, tokens, chunk_BTD, gripper_BE2 = (torch.from_numpy(part) for part in batch)
    condition, log_probability_BEN = network.encode(PolicyInput(image, proprio, tokens))
    goal_RTD = chunk_BTD.repeat_interleave(draws, 0)
    noise_RTD = torch.randn(goal_RTD.shape, generator=generator)
    rows = len(goal_RTD)
    t_R = (torch.randperm(rows, generator=generator) + torch.rand(rows, generator=generator)) / rows
    t_R11 = t_R[:, None, None]
    x_RTD = (1 - t_R11) * goal_RTD + t_R11 * noise_RTD
    velocity_RTD = network.velocity(condition.repeat_interleave(draws, 0), x_RTD, t_R)
    flow = flow_matching_loss(velocity_RTD, goal_RTD, noise_RTD, t_R).mean()
    return flow, place_loss(log_probability_BEN, gripper_BE2)


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
