"""Weights on disk, read without trust: safetensors, small JSON files, and tensors that fit exactly."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from prophrl_core.errors import UserError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

MAX_MANIFEST_BYTES = 1 << 20


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def assign(module: nn.Module, state: dict[str, Tensor], source: Path, may_lack: tuple[str, ...] = ()) -> None:
    """Give ``module`` exactly the tensors of ``state``; those starting with ``may_lack`` may keep their values."""
    own = module.state_dict()
    missing = {name for name in set(own) - set(state) if not name.startswith(may_lack or ("\0",))}
    unknown = set(state) - set(own)
    shapes = {name for name in set(own) & set(state) if own[name].shape != state[name].shape}
    for what, names in (("lacks", missing), ("has unknown", unknown), ("has other shapes for", shapes)):
        if names:
            raise UserError(
                f"{source}: expected the {len(own)} tensors of {type(module).__name__}, it {what} {_some(names)}; "
                "choose the configuration it was made with"
            )
    spoilt = {name for name, value in state.items() if not torch.isfinite(value).all()}
    if spoilt:
        raise UserError(f"{source}: expected finite weights, got NaN or infinity in {_some(spoilt)}; fetch it again")
    module.load_state_dict(state, strict=False, assign=any(value.is_meta for value in own.values()))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; UserError when it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected a safetensors file ({error}); fetch it again") from None


def read_json(path: Path) -> dict:
    """The object of a small JSON file; UserError when it is none."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("not an object")
        return data
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected a JSON object ({error}); choose a folder of weights") from None
