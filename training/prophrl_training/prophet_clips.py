"""Episodes as training batches for Prophet: encoded clips, one after another, and the history before each.

Dimensions: F frame, one more than actions; N clip of a chain; B clip of a batch; K A actions; C T h w latents.
A chain holds an episode's clips whose first frames lie one chunk apart, so that each clip's history is the clips
before it, as in a rollout. Chains that start at other phases cut the same episode elsewhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from prophrl_core.errors import UserError
from prophrl_world_model.action_streams import scalar_actions
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.imagination import View, encoded_action_frames, extended_history
from prophrl_world_model.training_losses import ChunkBatch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class ProphetEpisode:
    """One episode at the model's rate and size: pictures, commanded poses and the actions between them."""

    name: str
    frames_FHW3: np.ndarray  # uint8
    T_base_tcp_F44: np.ndarray
    openness_F: np.ndarray
    actions_K7: np.ndarray  # K = F - 1, core's action steps
    view: View
    rate_hz: float
    outcome: str = ""  # success or failure, empty when nobody said

    def check(self, config: ProphetConfig) -> None:
        """UserError, before anything is computed, when this episode cannot train ``config``."""
        steps = len(self.actions_K7)
        numbers = (self.T_base_tcp_F44, self.openness_F, self.actions_K7)
        for what, expected, got in (
            ("rate", f"{config.rate_hz} Hz", f"{self.rate_hz} Hz"),
            ("frames", (steps + 1, config.height, config.width, 3), self.frames_FHW3.shape),
            ("pictures", np.dtype(np.uint8), self.frames_FHW3.dtype),
            ("actions", (steps, 7), self.actions_K7.shape),
            ("poses", (steps + 1, 4, 4), self.T_base_tcp_F44.shape),
            ("openness", (steps + 1,), self.openness_F.shape),
            ("camera", (config.width, config.height), (self.view.camera.width, self.view.camera.height)),
            ("numbers", "finite", "finite" if all(np.isfinite(n).all() for n in numbers) else "NaN or infinity"),
        ):
            if expected != got:
                raise UserError(f"{self.name}: expected {what} {expected}, got {got}; convert the dataset again")


@dataclasses.dataclass(frozen=True)
class ClipChain:
    """Consecutive clips of one episode, encoded."""

    latents_NCThw: Tensor
    actions_NKA: Tensor
    action_latents_NCThw: Tensor | None

    def __len__(self) -> int:
        return len(self.latents_NCThw)


@torch.no_grad()
def encode_chain(
    episode: ProphetEpisode, config: ProphetConfig, autoencoder: VideoAutoencoder, phase: int, batch: int = 8
) -> ClipChain | None:
    """The chain of ``episode`` that starts at step ``phase``; None when no clip fits. Half precision, on the CPU."""
    K, device = config.chunk_steps, autoencoder.mean.device
    starts = range(phase, len(episode.actions_K7) - K + 1, K)
    if not starts:
        return None
    clips = [slice(s, s + K + 1) for s in starts]
    frames = torch.from_numpy(np.stack([episode.frames_FHW3[c] for c in clips]))
    poses = np.stack([episode.T_base_tcp_F44[c] for c in clips])
    openness = np.stack([episode.openness_F[c] for c in clips])
    latents, drawn = [], []
    for first in range(0, len(clips), batch):
        part = slice(first, first + batch)
        latents.append(autoencoder.encode(frames[part].to(device)).cpu().half())
        if config.frame_stream != "none":
            encoded = encoded_action_frames(config, episode.view, autoencoder, poses[part], openness[part])
            drawn.append(encoded.cpu().half())
    actions = scalar_actions(config, np.stack([episode.actions_K7[s : s + K] for s in starts]))
    return ClipChain(torch.cat(latents), actions, torch.cat(drawn) if drawn else None)


class ClipDataset:
    """Chains as batches that are pure functions of (seed, step); all clips of a batch have histories of one length."""

    def __init__(self, chains: Iterable[ClipChain], config: ProphetConfig):
        self.chains, self.config = list(chains), config
        self._clips = [(c, n) for c, chain in enumerate(self.chains) for n in range(len(chain))]
        if not self._clips:
            raise UserError(
                f"Prophet data: expected an episode of at least {config.chunk_steps} steps, got none; add episodes"
            )
        frames = config.latent_frames
        self._most = 0 if config.history_order == "none" else -(-config.history_frames // frames)
        self._most = min(self._most, max(n for _, n in self._clips))

    def __len__(self) -> int:
        return len(self._clips)

    def history(self, chain: int, clip: int, clips: int) -> Tensor | None:
        """Latents (1, C, T, h, w) of the ``clips`` clips before one, newest first, as a rollout keeps them."""
        past = None
        for n in range(clip - clips, clip):
            past = extended_history(past, self.chains[chain].latents_NCThw[n, None], self.config.history_frames)
        return past

    def batch(self, seed: int, step: int, size: int) -> ChunkBatch:
        """Batch number ``step``: a history length drawn from what there is, then clips that have it."""
        rng = np.random.default_rng([seed, step])
        clips_before = int(rng.integers(self._most + 1))
        able = [(c, n) for c, n in self._clips if n >= clips_before]
        chosen = [able[i] for i in rng.integers(len(able), size=size)]
        drawn = [self.chains[c].action_latents_NCThw for c, _ in chosen]
        past = [self.history(c, n, clips_before) for c, n in chosen]
        return ChunkBatch(
            torch.stack([self.chains[c].latents_NCThw[n] for c, n in chosen]).float(),
            torch.stack([self.chains[c].actions_NKA[n] for c, n in chosen]).float(),
            None if drawn[0] is None else torch.stack([d[n] for d, (_, n) in zip(drawn, chosen, strict=True)]).float(),
            torch.cat(past).float() if clips_before else None,
        )


def encoding_id(config: ProphetConfig, autoencoder_sha256: str) -> str:
    """Sixteen hex digits that change with whatever decides what a cached chain holds."""
    fields = (
        "height", "width", "chunk_steps", "rate_hz", "arms", "action_scale", "rotation", "frame_stream",
        "frame_encoding",
    )  # fmt: skip
    facts = {name: getattr(config, name) for name in fields} | {"autoencoder": autoencoder_sha256}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def store_chain(path: Path, chain: ClipChain, encoding: str) -> None:
    """Cache a chain as one safetensors file, whole or not at all."""
    tensors = {"latents": chain.latents_NCThw, "actions": chain.actions_NKA}
    if chain.action_latents_NCThw is not None:
        tensors["action_latents"] = chain.action_latents_NCThw
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"encoding": encoding})
    partial.replace(path)


def load_chain(path: Path, encoding: str) -> ClipChain:
    """A cached chain; UserError when it is damaged or was encoded otherwise."""
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("encoding")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if found == encoding:
            return ClipChain(tensors["latents"], tensors["actions"], tensors.get("action_latents"))
    except (OSError, KeyError, SafetensorError) as error:
        raise UserError(f"{path}: expected cached clips ({error}); delete the cache") from None
    raise UserError(f"{path}: expected clips encoded as {encoding}, got {found}; delete the cache")
