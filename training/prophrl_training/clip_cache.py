"""Encoded clips of a dataset, computed once and kept on disk (one file an episode and phase).

A file's name holds what its clips were made of, so that datasets may share a folder, grow, or be made anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec
from prophrl_world_model.autoencoder import Autoencoder
from prophrl_world_model.config import ProphetConfig

from prophrl_training.datasets.parts import PLACED
from prophrl_training.datasets.reader import Dataset
from prophrl_training.datasets.stored_statistics import read_episode_stats
from prophrl_training.prophet_clips import ClipChain, encode_chain, encoding_id, load_chain, store_chain
from prophrl_training.prophet_episodes import check_dataset, read_prophet_episodes


def cached_chains(
    dataset: Dataset,
    positions: list[int],
    task: TaskSpec,
    cell: CellSpec | None,
    config: ProphetConfig,
    autoencoder: Autoencoder,
    autoencoder_sha256: str,
    phases: int,
    folder: Path,
    progress: Callable[[int, int], None],
) -> list[ClipChain]:
    """Chains of the episodes at ``positions``, ``phases`` of each that start at steps spread over a chunk.

    ``progress(done, total)`` is called after each episode. Episodes shorter than a chunk give none.
    """
    if not 1 <= phases <= config.chunk_steps:
        raise UserError(f"expected 1 to {config.chunk_steps} phases (the steps of a chunk), got {phases}")
    check_dataset(dataset, config, task)
    identity = encoding_id(config, autoencoder_sha256)
    folder = folder / identity
    starts = [round(i * config.chunk_steps / phases) for i in range(phases)]
    chains: list[ClipChain] = []
    stats = read_episode_stats(dataset.folder, dataset.info)
    for done, position in enumerate(positions):
        episode_id = _episode_id(dataset, position, stats.get(dataset.episodes[position].index, {}), task, cell)
        files = [folder / f"{episode_id}-{start:02d}.safetensors" for start in starts]
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


def _episode_id(
    dataset: Dataset, position: int, stats: dict[str, dict], task: TaskSpec, cell: CellSpec | None
) -> str:
    """Sixteen hex digits that change with an episode's rows, pictures, facts, and the camera it may take from ``cell``.

    Pictures count by their ``stats``.
    """
    entry = dataset.episodes[position]
    camera = None if cell is None else dataclasses.asdict(cell.camera(task.image.camera))
    counted = {key: numbers for key, numbers in stats.items() if key not in PLACED}
    told = {key: {name: values.tolist() for name, values in numbers.items()} for key, numbers in counted.items()}
    facts = [entry.facts, told, dataclasses.asdict(task.image), camera]
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    names = [f.name for f in dataset.features.values() if not f.is_image and f.dtype != "string"]
    for name, values in sorted(dataset.rows(position, [n for n in names if n not in PLACED]).items()):
        sha.update(name.encode() + values.tobytes())
    return sha.hexdigest()[:16]
