"""Clips that begin in Prophet's own frames and go on in real ones: what a rollout needs to be trained on against drift.

In a rollout every chunk but the first is given an imagined frame; a Prophet that has only seen real ones takes its own
blur for the world. Episodes are imagined with their own actions for a few chunks at a time, from real frames, so that
what is imagined stays near what really happened (self-forcing; Huang et al., arXiv 2506.08009, do it on the fly).

Dimensions: N clip of a chain, H W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from prophrl_world_model.imagination import ImaginationEnv, View

from prophrl_training.prophet_clips import ClipChain, ProphetEpisode, encode_chain
from prophrl_training.prophet_evaluation import batches, imagine, rollout_seed

CHUNKS = 3  # imagined from one real frame
_EPISODES = 16  # imagined together


def own_chains(
    episodes: Sequence[ProphetEpisode],
    environment: Callable[[View], ImaginationEnv],
    seed: int,
    progress: Callable[[int, int], None],
) -> Iterator[ClipChain]:
    """The chain of each episode that is long enough, its clips given imagined frames but for every third one.

    ``environment`` makes the imagined cell of a view; ``progress(done, total)`` is called after some episodes.
    """
    done = 0
    for numbers in batches(episodes, _EPISODES):
        group = [episodes[i] for i in numbers]
        env = environment(group[0].view)
        pieces = [piece for episode in group for piece in _pieces(episode, env.chunk_steps)]
        if pieces:
            seeds = [rollout_seed(seed, numbers[0], draw) for draw in range(len(pieces))]
            plans = [piece.actions_K7 for piece in pieces]
            imagined = iter(imagine(env, pieces, plans, seeds))
        for episode in group:
            given = [next(imagined)[: -1 : env.chunk_steps] for _ in _pieces(episode, env.chunk_steps)]
            if given:
                config = env.model.prophet
                yield encode_chain(episode, config, env.autoencoder, 0, given_NHW3=np.concatenate(given))
        done += len(group)
        progress(done, len(episodes))


def _pieces(episode: ProphetEpisode, chunk_steps: int) -> list[ProphetEpisode]:
    """The episode cut into pieces of ``CHUNKS`` chunks, the last one shorter; what fills no chunk is left out."""
    whole = len(episode.actions_K7) // chunk_steps * chunk_steps
    pieces = []
    for first in range(0, whole, CHUNKS * chunk_steps):
        last = min(first + CHUNKS * chunk_steps, whole)
        frames, steps = slice(first, last + 1), slice(first, last)
        pieces.append(dataclasses.replace(
            episode, frames_FHW3=episode.frames_FHW3[frames], T_base_tcp_F44=episode.T_base_tcp_F44[frames],
            openness_F=episode.openness_F[frames], actions_K7=episode.actions_K7[steps],
        ))  # fmt: skip
    return pieces
