"""Encoded clips of a dataset, computed once and kept on disk (one file an episode and phase)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prophrl_core.cell import CellSpec
from prophrl_core.task import TaskSpec
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import ProphetConfig

from prophrl_training.datasets.reader import Dataset
from prophrl_training.prophet_clips import ClipChain, encode_chain, encoding_id, load_chain, store_chain
from prophrl_training.prophet_episodes import read_prophet_episodes


def cached_chains(
    dataset: Dataset,
    positions: list[int],
    task: TaskSpec,
    cell: CellSpec | None,
    config: ProphetConfig,
    autoencoder: VideoAutoencoder,
    autoencoder_sha256: str,
    phases: int,
    folder: Path,
    progress: Callable[[int, int], None],
) -> list[ClipChain]:
    """Chains of the episodes at ``positions``, ``phases`` of each that start at steps spread over a chunk.

    ``progress(done, total)`` is called after each episode. Episodes shorter than a chunk give none.
    """
    identity = encoding_id(config, autoencoder_sha256)
    folder = folder / identity
    starts = [round(i * config.chunk_steps / phases) for i in range(phases)]
    chains: list[ClipChain] = []
    for done, position in enumerate(positions):
        index = dataset.episodes[position].index
        files = [folder / f"{index:06d}-{start:02d}.safetensors" for start in starts]
        marks = [file.with_suffix(".none") for file in files]
        if not all(file.is_file() or mark.is_file() for file, mark in zip(files, marks, strict=True)):
            (episode,) = read_prophet_episodes(dataset, config, task, cell, [position])
            for start, file, mark in zip(starts, files, marks, strict=True):
                chain = encode_chain(episode, config, autoencoder, start)
                if chain is None:
                    folder.mkdir(parents=True, exist_ok=True)
                    mark.touch()
                else:
                    store_chain(file, chain, identity)
        chains += [load_chain(file, identity) for file in files if file.is_file()]
        progress(done + 1, len(positions))
    return chains
