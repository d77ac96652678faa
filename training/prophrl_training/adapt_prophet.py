"""Training Prophet on encoded clips: from nothing or from pre-trained weights, all of them or LoRA.

A step depends on the weights before it, the seed and its number only, so a run that was killed and started again goes
on with the same losses. The folder of a run holds ``training.pt`` (to go on), then the weights as ``checkpoints.save``
writes them: the running average of the weights, which is what imagines best.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig
from prophrl_core.errors import UserError
from prophrl_world_model import checkpoints
from prophrl_world_model.autoencoder import Autoencoder
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.training_losses import ChunkBatch, FlowLossConfig, flow_matching_loss, training_step

from prophrl_training.prophet_clips import ClipDataset
from prophrl_training.schedule import cosine_rate
from prophrl_training.training_state import WeightAverage, load_state, save_state

STATE = "training.pt"
ADAPTED = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]


@dataclasses.dataclass(frozen=True)
class ProphetTraining:
    """``lora_rank`` None trains all weights; ``precision`` is that of matrix products, the weights stay float32."""

    steps: int = 1000
    batch: int = 8
    seed: int = 0
    learning_rate: float = 3e-4
    warm_up: int = 50
    final_share: float = 0.1  # of the learning rate, reached along half a cosine
    weight_decay: float = 0.01
    averaging: float = 0.995
    lora_rank: int | None = None
    precision: str = "float32"  # or bfloat16
    gradient_checkpointing: bool = False
    save_every: int = 200
    loss: FlowLossConfig = FlowLossConfig()

    def frugal(self) -> str:
        """The smallest change that needs less memory."""
        if not self.gradient_checkpointing:
            return "gradient checkpointing"
        return f"a batch of {self.batch // 2}" if self.batch > 1 else "lora_rank 16 or a smaller Prophet"


def _on(batch: ChunkBatch, device: torch.device) -> ChunkBatch:
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(ChunkBatch)}
    return ChunkBatch(**{name: None if value is None else value.to(device) for name, value in values.items()})


class ProphetTrainer:
    """The state of one run: model, its running average, optimiser and the number of steps done."""

    def __init__(
        self, model: Prophet, data: ClipDataset, config: ProphetTraining, origin: dict[str, str] | None = None
    ):
        self.data, self.config, self.origin, self.done = data, config, origin or {}, 0
        if config.lora_rank is not None:
            model.add_adapter(LoraConfig(r=config.lora_rank, lora_alpha=config.lora_rank, target_modules=ADAPTED))
        if config.gradient_checkpointing:
            model.enable_gradient_checkpointing()
        self.model = model.train()
        self.average = WeightAverage(model, config.averaging)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)

    def step(self) -> float:
        """Do the next step and return its loss. UserError when memory runs out, with what would fit."""
        config, device = self.config, self.model.device
        for group in self.optimiser.param_groups:
            group["lr"] = cosine_rate(
                self.done, config.steps, config.learning_rate, config.warm_up, config.final_share
            )
        batch = _on(self.data.batch(config.seed, self.done, config.batch), device)
        generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + self.done)
        try:
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                loss = flow_matching_loss(self.model, batch, config.loss, generator)
            value, _ = training_step(self.model, self.optimiser, loss)
        except torch.OutOfMemoryError:
            raise UserError(
                f"Prophet training: expected a batch of {config.batch} to fit into the memory of {device}, it did not; "
                f"use {config.frugal()}"
            ) from None
        self.average.update(self.model)
        self.done += 1
        return value

    @property
    def _identity(self) -> dict[str, str]:
        return {"config": repr(self.config), "model": repr(self.model.prophet), "data": repr(self.data), **self.origin}

    def save(self, folder: Path) -> None:
        """Write what is needed to go on, whole or not at all."""
        state = {
            "done": self.done, "model": self.model.state_dict(), "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip
        save_state(folder / STATE, self._identity, state)

    def resume(self, folder: Path) -> None:
        """Go on where a run with the same configuration and origin left off; nothing happens where none did."""
        state = load_state(folder / STATE, self._identity, self.model.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.resume(state["average"], state["done"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = state["done"]

    def result(self) -> Prophet:
        """The averaged model in evaluation mode, LoRA merged into its weights."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.average.weights)
        if self.config.lora_rank is not None:
            model.fuse_lora()
            model.unload_lora()
        return model.requires_grad_(False).eval()


def train(
    model: Prophet,
    autoencoder: Autoencoder,
    data: ClipDataset,
    config: ProphetTraining,
    folder: Path,
    origin: dict[str, str],
    progress: Callable[[int, float], None],
) -> Prophet:
    """Train, or go on, until ``config.steps``; write the weights to ``folder``. ``progress(step, loss)`` after each."""
    trainer = ProphetTrainer(model, data, config, origin)
    trainer.resume(folder)
    while trainer.done < config.steps:
        loss = trainer.step()
        if trainer.done % config.save_every == 0 or trainer.done == config.steps:
            trainer.save(folder)
        progress(trainer.done, loss)
    result = trainer.result()
    checkpoints.save(folder, result, autoencoder, origin)
    return result
