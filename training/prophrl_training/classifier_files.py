"""Trained success classifiers on disk: ``<name>.json`` (what it is) and ``<name>.safetensors`` (its weights).

Everything that does not match is refused with one line; nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TypeVar

import torch
from prophrl_core.bundle import sha256_file
from prophrl_core.errors import UserError, check_whole_numbers
from prophrl_world_model.weight_files import assign, read_json, read_tensors
from safetensors.torch import save_file
from torch import nn


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Probability is sigmoid(logit / temperature); ``threshold`` is the least probability that counts as success."""

    temperature: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.threshold)
        real = all(isinstance(x, float) and math.isfinite(x) for x in numbers)
        if not real or not self.temperature > 0 or not 0 <= self.threshold <= 1:
            raise UserError(f"calibration: expected a temperature above 0 and a threshold in [0, 1], got {numbers}")


class SuccessClassifier(nn.Module):
    """A network from some inputs to one logit (B,): subclasses say their ``NAME`` and the dataclass ``CONFIG``."""

    NAME: str
    CONFIG: type

    def __init__(self, config) -> None:
        super().__init__()
        self.config, self.calibration = config, Calibration()


Kind = TypeVar("Kind", bound=SuccessClassifier)


def save_classifier(folder: Path, model: SuccessClassifier, origin: dict[str, str]) -> None:
    """Write ``model`` with its calibration; ``origin`` says what made it. The manifest comes last, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, manifest = _paths(folder, type(model))
    partial = weights.with_name(weights.name + ".partial")
    save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, partial)
    content = {
        "format": _format(type(model)), "config": dataclasses.asdict(model.config),
        "calibration": dataclasses.asdict(model.calibration), "sha256": sha256_file(partial), "origin": origin,
    }  # fmt: skip
    partial.replace(weights)
    partial = manifest.with_name(manifest.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(manifest)


def load_classifier(folder: Path, kind: type[Kind]) -> Kind:
    """The classifier of ``kind`` in ``folder``, on the CPU, in evaluation mode. UserError when it is not one."""
    weights, manifest = _paths(folder, kind)
    content = read_json(manifest)
    if content.get("format") != _format(kind):
        raise UserError(f"{manifest}: expected format {_format(kind)}, got {content.get('format')!r}; train it again")
    model = kind(_built(kind.CONFIG, content.get("config"), manifest))
    model.calibration = _built(Calibration, content.get("calibration"), manifest)
    wanted = content.get("sha256")
    if not weights.is_file() or sha256_file(weights) != wanted:
        raise UserError(f"{weights}: expected SHA-256 {wanted}, got another or no file; train it again")
    state = read_tensors(weights)
    kinds = {str(value.dtype) for value in state.values()} - {"torch.float32"}
    if kinds:
        raise UserError(f"{weights}: expected float32 weights, got {', '.join(sorted(kinds))}; train it again")
    with torch.no_grad():
        assign(model, state, weights)
    return model.eval()


def _paths(folder: Path, kind: type[SuccessClassifier]) -> tuple[Path, Path]:
    return folder / f"{kind.NAME}.safetensors", folder / f"{kind.NAME}.json"


def _format(kind: type[SuccessClassifier]) -> str:
    return f"prophrl-{kind.NAME.replace('_', '-')}-1"


def _built(kind: type, data: object, where: Path):
    """A dataclass from JSON values, exactly its fields; it checks the values itself."""
    known = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(data, dict) or set(data) != known:
        wrong = sorted(set(data) ^ known)[:5] if isinstance(data, dict) else type(data).__name__
        raise UserError(f"{where}: {kind.__name__}: expected the fields {sorted(known)}, differing in {wrong}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def check_widths(what: str, widths: object, multiple: int) -> None:
    """UserError unless ``widths`` are two to six whole multiples of ``multiple``, at most 1024."""
    if not isinstance(widths, tuple) or not 2 <= len(widths) <= 6:
        raise UserError(f"{what}: expected two to six widths, got {widths!r}; correct the config")
    check_whole_numbers(what, {f"widths[{i}]": (w, multiple, 1024) for i, w in enumerate(widths)})
    if any(w % multiple for w in widths):
        raise UserError(f"{what}: expected widths that are multiples of {multiple}, got {widths}; correct the config")
