"""What every training run keeps: its state on disk, taken up by the run it belongs to only, and an average of weights.

A state file is there whole or not at all, so a run that was killed goes on from its last one.
"""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import torch
from prophrl_core.errors import UserError
from torch import Tensor


def save_state(path: Path, identity: dict[str, str], state: dict) -> None:
    """Write ``state`` (tensors, numbers, text, and containers of them) of the run that ``identity`` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save({"identity": identity, **state}, partial)
    partial.replace(path)


def load_state(path: Path, identity: dict[str, str], device: torch.device | str = "cpu") -> dict | None:
    """The state of this run, None where there is none; UserError when it is another run's, naming what differs."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found = dict(state["identity"])
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise UserError(f"{path}: expected the state of a training run ({reason}); delete it") from None
    if found != identity:
        other = ", ".join(sorted(k for k in {*found, *identity} if found.get(k) != identity.get(k)))
        raise UserError(
            f"{path}: expected the state of this run, found one with other settings or clips ({other}); choose another "
            "folder or delete it"
        )
    return state


def write_curve(path: Path, fields: tuple[str, ...], rows: list[dict[str, float]]) -> None:
    """The rows of a training curve as CSV."""
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, fields)
        writer.writeheader()
        writer.writerows(rows)


class WeightAverage:
    """Exponential running average of a module's weights and buffers; the first steps weigh more than ``decay`` says."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self._decay, self._updates = decay, 0
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Once after each optimiser step."""
        self._updates += 1
        share = 1.0 - min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, share)
            else:
                self.weights[name].copy_(value)

    def resume(self, weights: dict[str, Tensor], updates: int) -> None:
        """Go on with an average that has seen ``updates`` steps."""
        self.weights, self._updates = weights, updates
