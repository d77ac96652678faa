"""Several datasets into one, and one into training and validation episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError

from prophrl_training.datasets.dataset_writer import write_dataset
from prophrl_training.datasets.metadata_writer import OWN_KEY, DatasetSpec
from prophrl_training.datasets.parts import parts_of, same_features
from prophrl_training.datasets.publish import locked, publish
from prophrl_training.datasets.reader import Dataset


def merge(datasets: list[Dataset], out: Path) -> None:
    """Write the episodes of all, in order, as a new dataset; UserError when they do not fit together."""
    first = datasets[0]
    for other in datasets[1:]:
        _check_alike(first, other)
    _check_no_episode_twice(datasets)
    parts = [part for dataset in datasets for part in parts_of(dataset)]
    _write_new(out, _spec(datasets), parts)


def split(dataset: Dataset, out: Path, share: float, seed: int) -> dict[str, tuple[int, ...]]:
    """Write the dataset anew with validation episodes last and both named in ``info.json``; returns their positions."""
    chosen = choose_validation(dataset, share, seed)
    n = len(chosen["train"])
    splits = {"train": f"0:{n}", "val": f"{n}:{n + len(chosen['val'])}"}
    _write_new(out, _spec([dataset]), parts_of(dataset, [*chosen["train"], *chosen["val"]]), splits)
    return chosen


def split_apart(dataset: Dataset, out: Path, share: float, seed: int) -> dict[str, tuple[int, ...]]:
    """The same as two datasets, ``out/train`` and ``out/val``."""
    chosen = choose_validation(dataset, share, seed)
    for name, positions in chosen.items():
        _write_new(out / name, _spec([dataset]), parts_of(dataset, list(positions)))
    return chosen


def choose_validation(
    dataset: Dataset, share: float, seed: int, among: list[int] | None = None
) -> dict[str, tuple[int, ...]]:
    """Positions (out of ``among``, else all) to train on and to validate with, each outcome and task alike, by seed."""
    among = list(range(len(dataset.episodes))) if among is None else among
    total = len(among)
    wanted = round(share * total)
    if not 0 < wanted < total:
        asked = f"got {share} of {total}"
        raise UserError(f"{dataset.folder}: expected a share that takes 1 to {total - 1} episodes, {asked}")
    groups: dict[tuple, list[int]] = {}
    for position in among:
        entry = dataset.episodes[position]
        groups.setdefault((str(entry.facts.get("outcome", "")), entry.tasks), []).append(position)
    quotas = {key: share * len(positions) for key, positions in groups.items()}
    counts = {key: int(quota) for key, quota in quotas.items()}
    by_remainder = sorted(groups, key=lambda key: (counts[key] - quotas[key], key))
    for key in by_remainder[: max(0, wanted - sum(counts.values()))]:
        counts[key] += 1
    rng = np.random.default_rng(seed)
    validation = sorted(int(p) for key in sorted(groups) for p in rng.permutation(groups[key])[: counts[key]])
    training = tuple(p for p in among if p not in set(validation))
    return {"train": training, "val": tuple(validation)}


def _write_new(out: Path, spec: DatasetSpec, parts: list, splits: dict[str, str] | None = None) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out):
        if out.exists():
            raise UserError(f"{out}: expected a new folder, it is there already; give another --out")
        publish(out, lambda folder: write_dataset(folder, spec, parts, splits))


def _spec(datasets: list[Dataset]) -> DatasetSpec:
    first = datasets[0]
    if first.fps != round(first.fps):
        raise UserError(f"{first.folder}: expected a whole number of rows a second, got {first.fps}")
    owns = [dataset.info.get(OWN_KEY) or {} for dataset in datasets]
    common = {name: value for name, value in owns[0].items() if all(own.get(name) == value for own in owns)}
    return DatasetSpec(round(first.fps), first.robot_type, first.features, common)


def _check_alike(a: Dataset, b: Dataset) -> None:
    where = f"{b.folder}: does not fit {a.folder}:"
    if a.fps != b.fps:
        raise UserError(f"{where} {b.fps:g} rows a second, expected {a.fps:g}; convert it at that rate")
    if a.robot_type != b.robot_type:
        raise UserError(f"{where} robot {b.robot_type!r}, expected {a.robot_type!r}")
    if differs := same_features(a.features, b.features):
        raise UserError(f"{where} {differs}")
    specs = [(dataset.info.get(OWN_KEY) or {}).get("spec_id") for dataset in (a, b)]
    if specs[0] != specs[1]:
        raise UserError(f"{where} action spec {specs[1]}, expected {specs[0]}")


def _check_no_episode_twice(datasets: list[Dataset]) -> None:
    seen: dict[object, Path] = {}
    for dataset in datasets:
        for entry in dataset.episodes:
            name = entry.facts.get("episode_id")
            if name is not None and name in seen:
                raise UserError(f"{dataset.folder}: episode {name} is in {seen[name]}, too; leave one of them out")
            seen[name] = dataset.folder
