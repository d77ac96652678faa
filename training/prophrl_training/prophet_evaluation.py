"""Prophecies of recorded episodes, from their first frames and their actions, scored against what really happened.

The protocol is method.md section 2, evaluation: PSNR, SSIM, optical-flow EPE and cosine, of every imagined frame. The
given frame is not scored; it would be equal. Beside it stands whether a Prophet listens: the same starts with the
actions of other episodes, and with none.

Dimensions: F frame, the given one first; P imagined frame, F - 1; K step of a chunk; H W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from prophrl_core.errors import UserError
from prophrl_world_model.autoencoder import Autoencoder
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.imagination import ImaginationEnv, View
from prophrl_world_model.video_metrics import fidelity, flow_errors, optical_flow

from prophrl_training.prophet_clips import ProphetEpisode

ROLLOUTS = 4  # of each episode: its own actions, another's, its own with another seed, none
Watch = Callable[[int, np.ndarray], None]  # number of the episode, its prophecy (F, H, W, 3)


@dataclasses.dataclass(frozen=True)
class EpisodeScore:
    """One episode's metrics, by name, each (P,); ``cos`` is NaN in frames in which nothing really moves."""

    name: str
    outcome: str
    values: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Whether one start's prophecies follow the actions. Each value has its rival beside it.

    EPE (px) against the real clip with another episode's actions and with its own; mean absolute difference (grey
    levels) between prophecies of other actions, and of the same actions with another seed; mean flow (px a frame)
    of a prophecy of standing still, and with its own actions. NaN where there is no other episode.
    """

    shuffled_epe: float
    own_epe: float
    shuffled_difference: float
    seed_difference: float
    frozen_flow: float
    own_flow: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Of one Prophet: what each episode got, in the episodes' order."""

    scores: list[EpisodeScore]
    sensitivity: list[Sensitivity]


def check_episodes(episodes: Sequence[ProphetEpisode], config: ProphetConfig) -> None:
    """UserError, before anything is imagined, when an episode does not fit ``config`` or has no whole chunk."""
    if not episodes:
        raise UserError("evaluation: expected at least one episode, got none; choose another dataset")
    for episode in episodes:
        episode.check(config)
        if len(episode.actions_K7) < config.chunk_steps:
            raise UserError(
                f"{episode.name}: expected at least a chunk of {config.chunk_steps} steps, got "
                f"{len(episode.actions_K7)}; leave this episode out"
            )


def check_comparable(ours: ProphetConfig, theirs: ProphetConfig, name: str) -> None:
    """UserError when two Prophets would be asked for different frames."""
    for field in ("height", "width", "rate_hz", "chunk_steps"):
        expected, got = getattr(ours, field), getattr(theirs, field)
        if expected != got:
            raise UserError(
                f"--against {name}: expected {field} {expected}, as --weights, got {got}; evaluate it alone"
            )


def whole_chunks(episode: ProphetEpisode, chunk_steps: int) -> int:
    """Steps of an episode that fill whole chunks."""
    return len(episode.actions_K7) // chunk_steps * chunk_steps


def last_frame_copy(episode: ProphetEpisode, chunk_steps: int) -> np.ndarray:
    """The prophecy (F, H, W, 3) that nothing will ever change: the last known frame, copied."""
    return np.repeat(episode.frames_FHW3[:1], 1 + whole_chunks(episode, chunk_steps), axis=0)


@torch.no_grad()
def reconstruction(episode: ProphetEpisode, chunk_steps: int, autoencoder: Autoencoder) -> np.ndarray:
    """The real clip (F, H, W, 3) through the autoencoder, chunk by chunk: what no prophecy can be better than."""
    parts = [episode.frames_FHW3[:1]]
    for first in range(0, whole_chunks(episode, chunk_steps), chunk_steps):
        clip = torch.from_numpy(episode.frames_FHW3[None, first : first + chunk_steps + 1].copy())
        clip = clip.to(autoencoder.mean.device)
        parts.append(autoencoder.decode(autoencoder.encode(clip), clip[:, 0])[0, 1:].cpu().numpy())
    return np.concatenate(parts)


def scored(episode: ProphetEpisode, clip_FHW3: np.ndarray) -> EpisodeScore:
    """How close a prophecy, whose first frame is the given one, comes to the beginning of ``episode``."""
    found = fidelity(episode.frames_FHW3[: len(clip_FHW3)], clip_FHW3)
    values = {"psnr": found.psnr_F[1:], "ssim": found.ssim_F[1:], "epe": found.epe_F, "cos": found.cos_F}
    return EpisodeScore(episode.name, episode.labels.outcome, values)


def still(openness: float, steps: int) -> np.ndarray:
    """Actions (steps, 7) that move nothing."""
    return np.concatenate([np.zeros((steps, 6)), np.full((steps, 1), openness)], axis=1)


def donors(count: int, seed: int) -> np.ndarray:
    """For each episode the number of another one, whose actions it gets when actions are shuffled."""
    order = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, dtype=int)
    others[order] = np.roll(order, 1)
    return others


def batches(episodes: Sequence[ProphetEpisode], size: int) -> Iterator[list[int]]:
    """Numbers of episodes that one environment can imagine together: one view, similar lengths, ``size`` at most."""
    by_view: dict[tuple, list[int]] = {}
    for i in sorted(range(len(episodes)), key=lambda i: len(episodes[i].actions_K7)):
        view = episodes[i].view
        by_view.setdefault((view.camera, np.asarray(view.T_base_camera).tobytes(), view.style), []).append(i)
    for together in by_view.values():
        for first in range(0, len(together), size):
            yield together[first : first + size]


def rollout_seed(seed: int, episode: int, draw: int = 0) -> int:
    """The seed of one rollout, the same for every Prophet that is compared."""
    return int(np.random.SeedSequence([seed, episode, draw]).generate_state(1)[0])


def imagine(
    env: ImaginationEnv, episodes: Sequence[ProphetEpisode], plans: Sequence[np.ndarray], seeds: Sequence[int]
) -> list[np.ndarray]:
    """Prophecies (1 + P, H, W, 3) of the episodes' first frames under ``plans`` (P, 7) of whole chunks.

    The shorter plans of a batch go on standing still, and what they show then is thrown away.
    """
    longest = max(map(len, plans))
    padded = np.stack([np.concatenate([plan, still(plan[-1, 6], longest - len(plan))]) for plan in plans])
    starts = [(e.frames_FHW3[0], e.T_base_tcp_F44[0], e.openness_F[0]) for e in episodes]
    env.reset(*map(np.stack, zip(*starts, strict=True)), seeds)
    K = env.chunk_steps
    frames = [env.step(padded[:, first : first + K]).frames_NKHW3 for first in range(0, longest, K)]
    whole_NPHW3 = np.concatenate(frames, axis=1)
    return [
        np.concatenate([e.frames_FHW3[:1], clip[: len(plan)]])
        for e, clip, plan in zip(episodes, whole_NPHW3, plans, strict=True)
    ]


def _epe(real_FHW3: np.ndarray, clip_FHW3: np.ndarray) -> float:
    return float(flow_errors(optical_flow(real_FHW3), optical_flow(clip_FHW3))[0].mean())


def _difference(a_FHW3: np.ndarray, b_FHW3: np.ndarray) -> float:
    return float(np.abs(a_FHW3[1:].astype(np.int16) - b_FHW3[1:]).mean())


def _flow(clip_FHW3: np.ndarray) -> float:
    return float(np.linalg.norm(optical_flow(clip_FHW3), axis=-1).mean())


def evaluate(
    environment: Callable[[View], ImaginationEnv],
    episodes: Sequence[ProphetEpisode],
    seed: int,
    batch: int = 8,
    watch: Watch = lambda number, clip: None,
) -> Evaluation:
    """Roll out every episode and score it; ``environment`` makes the imagined cell of a view.

    Each episode takes ROLLOUTS, and ``batch`` of them run at once. Only numbers are kept; ``watch`` gets each prophecy
    when it is done.
    """
    scores: dict[int, EpisodeScore] = {}
    sensitivity: dict[int, Sensitivity] = {}
    givers = donors(len(episodes), seed)
    for numbers in batches(episodes, max(1, batch // ROLLOUTS)):
        group = [episodes[i] for i in numbers]
        env = environment(group[0].view)
        plans = [e.actions_K7[: whole_chunks(e, env.chunk_steps)] for e in group]
        given = [
            episodes[givers[i]].actions_K7[: min(len(plan), whole_chunks(episodes[givers[i]], env.chunk_steps))]
            for i, plan in zip(numbers, plans, strict=True)
        ]
        frozen = [still(e.openness_F[0], len(plan)) for e, plan in zip(group, plans, strict=True)]
        seeds, others = ([rollout_seed(seed, i, draw) for i in numbers] for draw in (0, 1))
        clips = imagine(env, group * ROLLOUTS, plans + given + plans + frozen, seeds + seeds + others + seeds)
        for n, (i, episode) in enumerate(zip(numbers, group, strict=True)):
            own, shuffled, redrawn, held = clips[n :: len(group)]
            real, same = episode.frames_FHW3[: len(shuffled)], own[: len(shuffled)]
            alone = givers[i] == i
            scores[i] = scored(episode, own)
            sensitivity[i] = Sensitivity(
                float("nan") if alone else _epe(real, shuffled), _epe(real, same),
                float("nan") if alone else _difference(shuffled, same), _difference(redrawn, own),
                _flow(held), _flow(own),
            )  # fmt: skip
            watch(i, own)
    return Evaluation([scores[i] for i in range(len(episodes))], [sensitivity[i] for i in range(len(episodes))])
