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
from prophrl_world_model.autoencoder import Autoencoder
from prophrl_world_model.config import TEMPORAL_STRIDE, ProphetConfig
from prophrl_world_model.imagination import View, encoded_action_frames, extended_history
from prophrl_world_model.state_head import EVENTS, state_targets
from prophrl_world_model.training_losses import ChunkBatch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class EpisodeLabels:
    """What is known of an episode besides its pictures; None is unknown."""

    outcome: str = ""
    success_F: np.ndarray | None = None  # bool, whether the goal had been held by then
    contact_F2: np.ndarray | None = None  # float32, touching something, stopped by contact
    objects_FO9: np.ndarray | None = None  # position and two columns of the rotation, base frame


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
    labels: EpisodeLabels = EpisodeLabels()

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
    states_NTS: Tensor | None = None

    def __len__(self) -> int:
        return len(self.latents_NCThw)


@torch.no_grad()
def encode_chain(
    episode: ProphetEpisode,
    config: ProphetConfig,
    autoencoder: Autoencoder,
    phase: int,
    batch: int = 8,
    given_NHW3: np.ndarray | None = None,
) -> ClipChain | None:
    """The chain of ``episode`` that starts at step ``phase``; None when no clip fits. Half precision, on the CPU.

    ``given_NHW3`` are first frames of the clips instead of the real ones; what follows them stays real.
    """
    K, device = config.chunk_steps, autoencoder.mean.device
    starts = range(phase, len(episode.actions_K7) - K + 1, K)
    if not starts:
        return None
    clips = [slice(s, s + K + 1) for s in starts]
    frames = torch.from_numpy(np.stack([episode.frames_FHW3[c] for c in clips]))
    if given_NHW3 is not None:
        frames[:, 0] = torch.from_numpy(given_NHW3)
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
    states = states_of(episode, config)
    if states is not None:
        states = torch.stack([torch.from_numpy(states[s : s + K + 1 : TEMPORAL_STRIDE]) for s in starts])
    return ClipChain(torch.cat(latents), actions, torch.cat(drawn) if drawn else None, states)


def states_of(episode: ProphetEpisode, config: ProphetConfig) -> np.ndarray | None:
    """State numbers (F, S) of the frames, NaN where unknown; None when the model reads none."""
    if not config.state_objects:
        return None
    labels, F = episode.labels, len(episode.openness_F)
    unknown = np.full((F, 1), np.nan)
    contact = np.tile(unknown, 2) if labels.contact_F2 is None else labels.contact_F2
    success = unknown if labels.success_F is None else labels.success_F[:, None]
    objects = np.zeros((F, 0, 9)) if labels.objects_FO9 is None else labels.objects_FO9
    events = np.concatenate([contact, success], axis=1)
    return state_targets(objects, events, episode.T_base_tcp_F44, episode.view.T_base_camera, config.state_objects)


class ClipDataset:
    """Chains as batches that are pure functions of (seed, step); all clips of a batch have histories of one length.

    ``contact_share`` of each batch is drawn from the clips in which the gripper is known to touch something: there a
    trial is decided, and most of it is free motion.
    """

    def __init__(self, chains: Iterable[ClipChain], config: ProphetConfig, contact_share: float = 0.0):
        self.chains, self.config = list(chains), config
        self._clips = [(c, n) for c, chain in enumerate(self.chains) for n in range(len(chain))]
        if not self._clips:
            raise UserError(
                f"Prophet data: expected an episode of at least {config.chunk_steps} steps, got none; add episodes"
            )
        frames = config.latent_frames
        self._most = 0 if config.history_order == "none" else -(-config.history_frames // frames)
        self._most = min(self._most, max(n for _, n in self._clips))
        self._contact_share = contact_share
        touching = EVENTS.index("touching") - len(EVENTS)
        self._touching = [
            (c, n) for c, n in self._clips
            if (known := self.chains[c].states_NTS) is not None and bool((known[n, :, touching] > 0.5).any())
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self._clips)

    def __repr__(self) -> str:
        """Tells apart what batches are drawn from, so that no run goes on with others."""
        return f"{len(self.chains)} chains, {len(self)} clips, {len(self._touching)} touching, {self._contact_share}"

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
        able, touching = (
            [(c, n) for c, n in clips if n >= clips_before] for clips in (self._clips, self._touching)
        )
        share = round(self._contact_share * size) if touching else 0
        chosen = [able[i] for i in rng.integers(len(able), size=size - share)]
        chosen += [touching[i] for i in rng.integers(len(touching), size=share)] if share else []
        drawn = [self.chains[c].action_latents_NCThw for c, _ in chosen]
        states = [self.chains[c].states_NTS for c, _ in chosen]
        past = [self.history(c, n, clips_before) for c, n in chosen]
        return ChunkBatch(
            torch.stack([self.chains[c].latents_NCThw[n] for c, n in chosen]).float(),
            torch.stack([self.chains[c].actions_NKA[n] for c, n in chosen]).float(),
            None if drawn[0] is None else torch.stack([d[n] for d, (_, n) in zip(drawn, chosen, strict=True)]).float(),
            torch.cat(past).float() if clips_before else None,
            None if states[0] is None else torch.stack([s[n] for s, (_, n) in zip(states, chosen, strict=True)]),
        )


def encoding_id(config: ProphetConfig, autoencoder_sha256: str) -> str:
    """Sixteen hex digits that change with whatever decides what a cached chain holds."""
    fields = (
        "height", "width", "chunk_steps", "rate_hz", "arms", "action_scale", "rotation", "frame_stream",
        "frame_encoding", "frame_fold", "state_objects",
    )  # fmt: skip
    facts = {name: getattr(config, name) for name in fields} | {"autoencoder": autoencoder_sha256}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def store_chain(path: Path, chain: ClipChain, encoding: str) -> None:
    """Cache a chain as one safetensors file, whole or not at all."""
    tensors = {"latents": chain.latents_NCThw, "actions": chain.actions_NKA}
    if chain.action_latents_NCThw is not None:
        tensors["action_latents"] = chain.action_latents_NCThw
    if chain.states_NTS is not None:
        tensors["states"] = chain.states_NTS
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    packed = {name: value.contiguous() for name, value in tensors.items()}
    save_file(packed, partial, metadata={"encoding": encoding})
    partial.replace(path)


def load_chain(path: Path, encoding: str) -> ClipChain:
    """A cached chain; UserError when it is damaged or was encoded otherwise."""
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("encoding")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if found == encoding:
            return ClipChain(
                tensors["latents"], tensors["actions"], tensors.get("action_latents"), tensors.get("states")
            )
    except (OSError, KeyError, SafetensorError) as error:
        raise UserError(f"{path}: expected cached clips ({error}); delete the cache") from None
    raise UserError(f"{path}: expected clips encoded as {encoding}, got {found}; delete the cache")
