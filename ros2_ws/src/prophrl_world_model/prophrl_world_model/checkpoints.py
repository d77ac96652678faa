"""Prophet's weights on disk: our own folder, the Cosmos-Predict2 base in diffusers' form, the released ``.pt``.

A folder of ours holds ``prophet.json`` (format, configuration, SHA-256 of the weights, where they come from),
``prophet.safetensors`` and ``autoencoder.safetensors``. Everything that does not match is refused with one line; no
pickle is read but the released file, with ``weights_only`` and only when its SHA-256 is the one asked for.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import convert_cosmos_transformer_checkpoint_to_diffusers
from prophrl_core.bundle import sha256_file
from prophrl_core.errors import UserError
from safetensors.torch import save_file
from torch import Tensor

from prophrl_world_model.autoencoder import Autoencoder, VideoAutoencoder, make_autoencoder
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.weight_files import assign, read_json, read_tensors

FORMAT = "prophrl-prophet-1"
MANIFEST, PROPHET, AUTOENCODER = "prophet.json", "prophet.safetensors", "autoencoder.safetensors"

# The streams' names in the released checkpoint, and here.
RELEASED_STREAMS = {
    "action_embedder_B_D_agi.": "scalar_stream.to_D.",
    "action_embedder_B_3D_agi.": "scalar_stream.to_3D.",
    "action_latent_cond.": "frame_stream.",
    "mem_to_k.": "memory.to_k.",
    "mem_to_v.": "memory.to_v.",
    "framepack_mem.proj.0.1.": "memory.levels.0.",
    "framepack_mem.proj.1.1.": "memory.levels.1.",
    "framepack_mem.proj.2.1.": "memory.levels.2.",
}


def save(
    folder: Path,
    model: Prophet,
    autoencoder: Autoencoder,
    origin: dict[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a folder of ours, in ``dtype`` or as the weights are; ``origin`` says what made it (command, seed).

    The manifest comes last, atomically.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, module in ((PROPHET, model), (AUTOENCODER, autoencoder.stored)):
        partial = folder / f"{name}.partial"
        save_file(
            {key: value.detach().to("cpu", dtype).contiguous() for key, value in module.state_dict().items()}, partial
        )
        hashes[name] = sha256_file(partial)
        partial.replace(folder / name)
    manifest = {"format": FORMAT, "config": dataclasses.asdict(model.prophet), "sha256": hashes, "origin": origin}
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST)


def load(folder: Path, dtype: torch.dtype | None = None) -> tuple[Prophet, Autoencoder]:
    """The Prophet and autoencoder of a folder of ours, on the CPU, in evaluation mode, in ``dtype`` or as stored."""
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{folder}: expected format {FORMAT}, got {manifest.get('format')!r}; convert the weights again"
        )
    config = ProphetConfig.from_dict(manifest.get("config"))
    hashes = manifest.get("sha256")
    for name in (PROPHET, AUTOENCODER):
        wanted = hashes.get(name) if isinstance(hashes, dict) else None
        if not (folder / name).is_file() or sha256_file(folder / name) != wanted:
            raise UserError(f"{folder / name}: expected SHA-256 {wanted}, got another or no file; fetch it again")
    with torch.device("meta"):
        model = Prophet(config)
    assign(model, read_tensors(folder / PROPHET), folder / PROPHET)
    autoencoder = make_autoencoder(config.autoencoder)
    assign(autoencoder.stored, read_tensors(folder / AUTOENCODER), folder / AUTOENCODER)
    if dtype is not None:
        model, autoencoder = model.to(dtype), autoencoder.to(dtype)
    return model.eval(), autoencoder.eval()


def _diffusers_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model saved by diffusers, in one file or in shards."""
    files = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))
    if not files:
        raise UserError(f"{folder}: expected diffusion_pytorch_model*.safetensors, got none; choose another folder")
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def _check_diffusers_config(folder: Path, expected: dict) -> None:
    found = read_json(folder / "config.json")
    for key, value in expected.items():
        value = list(value) if isinstance(value, tuple) else value
        if found.get(key) != value:
            raise UserError(
                f"{folder}: expected {key} {value}, got {found.get(key)}; choose the configuration of this base"
            )


def load_autoencoder(folder: Path, config: ProphetConfig) -> VideoAutoencoder:
    """The autoencoder of a diffusers folder (``vae`` of a Cosmos or Wan pipeline)."""
    autoencoder = VideoAutoencoder(config.autoencoder)
    keys = (
        "base_dim",
        "z_dim",
        "dim_mult",
        "num_res_blocks",
        "latents_mean",
        "latents_std",
        "temperal_downsample",
        "patch_size",
    )
    _check_diffusers_config(folder, {key: autoencoder.wan.config[key] for key in keys})
    assign(autoencoder.wan, _diffusers_tensors(folder), folder)
    return autoencoder.eval()


def load_cosmos_base(pipeline: Path, config: ProphetConfig) -> tuple[Prophet, VideoAutoencoder]:
    """A fresh Prophet on a Cosmos-Predict2 Video2World pipeline in diffusers' form (``transformer`` and ``vae``)."""
    model = Prophet(config)
    keys = (
        "in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "num_layers", "mlp_ratio",
        "text_embed_dim", "adaln_lora_dim", "patch_size", "rope_scale", "concat_padding_mask", "extra_pos_embed_type",
    )  # fmt: skip
    _check_diffusers_config(pipeline / "transformer", {key: model.config[key] for key in keys})
    streams = ("scalar_stream.", "frame_stream.", "memory.", "state_head.")
    assign(model, _diffusers_tensors(pipeline / "transformer"), pipeline / "transformer", may_lack=streams)
    return model.eval(), load_autoencoder(pipeline / "vae", config)


def from_released_names(released: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under this project's names. The base's part of the names is diffusers' to convert."""
    streams, base = {}, {}
    for name, tensor in released.items():
        bare = name.removeprefix("net.")
        for theirs, ours in RELEASED_STREAMS.items():
            if bare.startswith(theirs):
                streams[ours + bare.removeprefix(theirs)] = tensor
                break
        else:
            base[name] = tensor
    converted = convert_cosmos_transformer_checkpoint_to_diffusers(base)
    return {**converted, **streams}


def load_released(checkpoint: Path, expected_sha256: str, config: ProphetConfig) -> Prophet:
    """The released Prophet: a flat ``torch`` state dict whose names start with ``net.``.

    ``expected_sha256`` is the one published with the file. ``config`` must say in which order the memory was
    trained: the released weights are "chronological".
    """
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: expected the released Prophet checkpoint, found no file; fetch it first")
    found = sha256_file(checkpoint)
    if found != expected_sha256.strip().lower():
        raise UserError(f"{checkpoint}: expected SHA-256 {expected_sha256}, got {found}; fetch it again")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError):
        raise UserError(
            f"{checkpoint}: expected a torch file of tensors alone, got something else; fetch it again"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str)
        and name.startswith("net.")
        and (isinstance(value, Tensor) or name.endswith("_extra_state"))
        for name, value in state.items()
    ):
        raise UserError(
            f"{checkpoint}: expected a flat dictionary of tensors named net.*, got another; choose another file"
        )
    with torch.device("meta"):
        model = Prophet(config)
    assign(model, from_released_names(state), checkpoint)
    return model.eval()


def convert_released(checkpoint: Path, expected_sha256: str, vae: Path, config: ProphetConfig, folder: Path) -> None:
    """Write the released Prophet and its diffusers autoencoder once as a folder of ours."""
    model = load_released(checkpoint, expected_sha256, config)
    save(folder, model, load_autoencoder(vae, config), {"released": checkpoint.name, "sha256": expected_sha256})
