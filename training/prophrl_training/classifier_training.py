"""Training a success classifier, the one loop: the judge and the no-video baseline differ in network and data only.

Batches depend on (seed, step) alone and a checkpoint holds everything else, so a killed run goes on exactly where it
was. What is kept at the end is the running average of the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from prophrl_core.errors import UserError
from torch import Tensor

from prophrl_training.classifier_files import SuccessClassifier
from prophrl_training.schedule import cosine_rate
from prophrl_training.training_state import WeightAverage, load_state, save_state, write_curve

CHECKPOINT_NAME = "checkpoint.pt"
CURVE_NAME = "curve.csv"
CURVE_FIELDS = ("step", "loss", "validation_loss", "learning_rate", "gradient_norm", "seconds")


@dataclasses.dataclass(frozen=True)
class ClassifierTraining:
    """Hyper-parameters of one run."""

    steps: int = 600
    batch: int = 64
    learning_rate: float = 2e-3
    final_share: float = 0.02  # of the learning rate, at the cosine's end
    warmup: int = 50
    weight_decay: float = 2e-2
    gradient_clip: float = 1.0
    ema: float = 0.99
    seed: int = 0
    log_every: int = 20
    validate_every: int = 100
    checkpoint_every: int = 100


class Examples(Protocol):
    """What a classifier learns from. ``digest`` changes with the content, so that no run resumes on other data."""

    digest: str

    def batch(self, size: int, seed: int, step: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """The network's inputs and the outcomes (B,) bool of one step, both classes alike; a pure function."""
        ...


class ClassifierTrainer:
    """Weights, their moving average and the optimiser; ``run`` is the loop."""

    def __init__(self, network: SuccessClassifier, config: ClassifierTraining, folder: Path) -> None:
        self.network, self.config, self.folder = network, config, folder
        self.average = WeightAverage(network, config.ema)
        parameters = network.parameters()
        self._optimiser = torch.optim.AdamW(parameters, weight_decay=config.weight_decay, fused=True)
        self.step = 0
        self._rows: list[dict[str, float]] = []
        self._identity: dict[str, str] = {}
        self._first = hashlib.sha256(b"".join(v.numpy(force=True).tobytes() for v in network.state_dict().values()))

    def run(
        self, training: Examples, validation: Examples | None, report: Callable[[dict[str, float]], None]
    ) -> dict[str, float]:
        """Train to the last step, resuming from the folder's checkpoint; returns the last row of the curve."""
        config = self.config
        self._identity = {
            "config": repr(config), "network": repr(self.network.config), "training": training.digest,
            "first_weights": self._first.hexdigest()[:16],
            "validation": "" if validation is None else validation.digest,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        started, before = time.monotonic(), self._rows[-1]["seconds"] if self._rows else 0.0
        self.network.train()
        total, since = 0.0, 0
        while self.step < config.steps:
            rate = cosine_rate(self.step, config.steps, config.learning_rate, config.warmup, config.final_share)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss = batch_loss(self.network, training, config.batch, config.seed, self.step)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
            if not torch.isfinite(norm):
                what = self.network.NAME
                raise UserError(f"{what}: the loss is not finite at step {self.step}; lower the learning rate")
            self._optimiser.step()
            self.step += 1
            self.average.update(self.network)
            total, since = total + float(loss.detach()), since + 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                row = {"step": self.step, "loss": total / since, "validation_loss": math.nan, "learning_rate": rate}
                row |= {"gradient_norm": float(norm), "seconds": before + time.monotonic() - started}
                if validation is not None and (self.step % config.validate_every == 0 or self.step == config.steps):
                    row["validation_loss"] = self.validate(validation)
                self._rows.append(row)
                report(row)
                total, since = 0.0, 0
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
        return self._rows[-1]

    @torch.no_grad()
    def validate(self, examples: Examples, batches: int = 4) -> float:
        """Loss of the averaged weights on fixed batches, both outcomes weighing alike."""
        network = self.averaged_network()
        return sum(float(batch_loss(network, examples, 64, 0, index)) for index in range(batches)) / batches

    def averaged_network(self) -> SuccessClassifier:
        """A copy of the network with the moving-average weights, in evaluation mode."""
        network = type(self.network)(self.network.config)
        network.load_state_dict(self.average.weights)
        return network.to(next(self.network.parameters()).device).eval()

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


def batch_loss(network: SuccessClassifier, examples: Examples, size: int, seed: int, step: int) -> Tensor:
    """Binary cross entropy of one batch."""
    device = next(network.parameters()).device
    inputs, success_B = examples.batch(size, seed, step)
    logits_B = network(*(torch.from_numpy(part).to(device) for part in inputs))
    return F.binary_cross_entropy_with_logits(logits_B, torch.from_numpy(success_B).to(device, torch.float32))


class BalancedPicks:
    """Half of each batch are successes; within each half, real and imagined examples come in equal numbers.

    ``success_N`` and ``imagined_N`` bool say which each example is. UserError unless both outcomes are there.
    """

    def __init__(self, success_N: np.ndarray, imagined_N: np.ndarray, what: str) -> None:
        require_both(success_N, what)
        kinds = [
            [np.flatnonzero((success_N == outcome) & (imagined_N == imagined)) for imagined in (False, True)]
            for outcome in (True, False)
        ]
        self._kinds = [[own for own in pair if len(own)] for pair in kinds]

    def draw(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Indices (size,) of examples: success, failure, success, ..."""
        chosen = [self._kinds[i % 2][i // 2 % len(self._kinds[i % 2])] for i in range(size)]
        return np.array([own[rng.integers(len(own))] for own in chosen])


def require_both(success_N: np.ndarray, what: str) -> None:
    """UserError unless there are successes and failures to learn from."""
    won = int(np.count_nonzero(success_N))
    if not 0 < won < len(success_N):
        raise UserError(
            f"{what}: expected both outcomes, got {won} successes in {len(success_N)}; add clips of the other"
        )
