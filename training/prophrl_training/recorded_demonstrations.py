"""Demonstrations out of a dataset of recorded episodes: what people, or a policy that succeeded, did in the cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import TaskSpec

from prophrl_training.datasets.conversion import IMAGE_PREFIX
from prophrl_training.datasets.merge import choose_validation
from prophrl_training.datasets.metadata_writer import OWN_KEY
from prophrl_training.datasets.reader import Dataset
from prophrl_training.demonstrations import Demonstrations


def recorded_demonstrations(
    dataset: Dataset,
    task: TaskSpec,
    validation_share: float,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[Demonstrations, Demonstrations]:
    """The dataset's successful episodes, to train on and to validate with.

    Its own splits decide where it has "val" (``prophrl data split``), else ``validation_share`` of the episodes by
    ``seed``. UserError when the dataset's actions, rate or camera are not the task's.
    """
    _check_fits(dataset, task)
    succeeded = [p for p, entry in enumerate(dataset.episodes) if entry.facts.get("outcome", "success") == "success"]
    if "val" in (dataset.info.get("splits") or {}):
        wanted = {name: [p for p in dataset.split(name) if p in set(succeeded)] for name in ("train", "val")}
    else:
        share = max(validation_share, 1.0 / max(1, len(succeeded)))
        wanted = choose_validation(dataset, share, seed, succeeded)
    for name, positions in wanted.items():
        if not positions:
            raise UserError(f"{dataset.folder}: expected a successful episode in {name!r}, found none; record more")
    total, done = sum(map(len, wanted.values())), 0
    result = []
    for name in ("train", "val"):
        takes = []
        for position in wanted[name]:
            takes.append(_take(dataset, task, position))
            done += 1
            progress(done, total)
        result.append(_joined(dataset, task, wanted[name], takes))
    return tuple(result)


def _check_fits(dataset: Dataset, task: TaskSpec) -> None:
    own = dataset.info.get(OWN_KEY) or {}
    if own.get("spec_id") != task.action.id:
        raise UserError(
            f"{dataset.folder}: expected actions of spec {task.action.id} (task {task.name}), got "
            f"{own.get('spec_id', 'none')}; give the --task it was converted for"
        )
    if dataset.fps != task.action.rate_hz:
        raise UserError(f"{dataset.folder}: expected {task.action.rate_hz:g} rows a second, got {dataset.fps:g}")
    needed = (IMAGE_PREFIX + task.image.camera, "observation.proprio", "action")
    for name in needed:
        if name not in dataset.features:
            raise UserError(f"{dataset.folder}: expected {name}, found none; convert the episodes with that camera")


def _take(dataset: Dataset, task: TaskSpec, position: int) -> dict[str, np.ndarray]:
    rows = dataset.rows(position, ["action", "observation.proprio"])
    frames = dataset.frames(position, IMAGE_PREFIX + task.image.camera)
    images = np.stack([crop_and_resize(frame, task.image) for frame in frames])
    return {"images": images, "proprio": rows["observation.proprio"], "actions": rows["action"]}


def _joined(dataset: Dataset, task: TaskSpec, positions: list[int], takes: list[dict]) -> Demonstrations:
    facts = {"task": task.name, "instruction": task.instruction, "spec_id": task.action.id}
    facts |= {"cell": str(dataset.episodes[positions[0]].facts.get("cell", "")), "attempts": str(len(takes))}
    seeds = [int(dataset.episodes[position].facts.get("seed") or 0) for position in positions]
    return Demonstrations.joined(takes, seeds, facts)
