"""Episodes into a LeRobot dataset: each converted once into a work folder, then all published together.

Killed at any moment, the next run goes on: finished episodes in the work folder are taken as they are, and the dataset
itself is replaced as a whole. The same episodes and rules give the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from prophrl_core.episode import META_NAME
from prophrl_core.episode_reader import Episode, read_episode
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec, load_task

from prophrl_training.datasets.conversion import IMAGE_PREFIX
from prophrl_training.datasets.dataset_writer import write_dataset
from prophrl_training.datasets.episode_streams import read_finished_meta
from prophrl_training.datasets.metadata_writer import OWN_KEY, DatasetSpec
from prophrl_training.datasets.parts import PLACED, parts_of, read_part, same_features
from prophrl_training.datasets.publish import locked, publish, work_folder
from prophrl_training.datasets.reader import Dataset, open_dataset
from prophrl_training.datasets.staging import (
    LEFT_OUT,
    PRESENT,
    REFUSED,
    ConversionRequest,
    Verdict,
    convert_all,
    one_line,
    own_facts,
)  # fmt: skip


def convert(request: ConversionRequest, report: Callable[[int, int, Verdict], None]) -> list[Verdict]:
    """Add every episode that is not in the dataset yet; ``report(done, total, verdict)`` after each.

    UserError when nothing can be asked of the inputs at all, or the dataset is of another kind.
    """
    folders = find_episodes(request.inputs)
    request.dataset.parent.mkdir(parents=True, exist_ok=True)
    with locked(request.dataset):
        existing = open_dataset(request.dataset) if request.dataset.exists() else None
        episodes, verdicts = _open_wanted(folders, request.outcomes, existing)
        task = _task(request, existing, episodes)
        cameras = request.cameras or _cameras(existing, episodes)
        _check_same_kind(request, existing, task, cameras)
        for done, verdict in enumerate(verdicts):
            report(done + 1, len(folders), verdict)
        for unfinished in work_folder(request.dataset).glob("*.partial"):
            shutil.rmtree(unfinished)
        staged = []
        for verdict, part in convert_all(episodes, task, cameras, request):
            verdicts.append(verdict)
            staged += [part] if part else []
            report(len(verdicts), len(folders), verdict)
        staged, mismatched = _of_one_kind(existing, staged)
        verdicts = [mismatched.get(verdict.name, verdict) for verdict in verdicts]
        if staged:
            _publish(request, existing, task, cameras, staged)
        for part in work_folder(request.dataset).glob("*/"):
            shutil.rmtree(part)
    return sorted(verdicts, key=lambda verdict: verdict.name)


def find_episodes(inputs: tuple[Path, ...]) -> list[Path]:
    """Episode folders under the inputs, each of which is one or holds them, by name; each name once."""
    found: dict[str, Path] = {}
    for path in inputs:
        if not path.is_dir():
            raise UserError(f"{path}: expected a folder with episodes, found none")
        inner = [path] if (path / META_NAME).is_file() else [child for child in path.iterdir() if child.is_dir()]
        for folder in inner:
            if found.setdefault(folder.name, folder).resolve() != folder.resolve():
                raise UserError(f"{folder}: expected every episode once, {found[folder.name]} has the same name")
    if not found:
        raise UserError(f"{inputs[0]}: expected episode folders, found none; record some with: prophrl demo")
    return [found[name] for name in sorted(found)]


def _open_wanted(
    folders: list[Path], outcomes: tuple[str, ...], existing: Dataset | None
) -> tuple[list[Episode], list[Verdict]]:
    """The episodes that are to be converted, and the verdict on the others."""
    seen = {entry.facts.get("episode_id") for entry in existing.episodes} if existing is not None else set()
    episodes, verdicts = [], []
    for folder in folders:
        outcome = ""
        try:
            meta = read_finished_meta(folder)
            outcome = meta.outcome
            if outcome not in outcomes:
                reason = f"outcome {outcome or 'none'!r}; take it with --outcomes"
                verdicts.append(Verdict(folder.name, LEFT_OUT, reason, outcome))
            elif meta.episode_id in seen:
                verdicts.append(Verdict(folder.name, PRESENT, "", outcome))
            else:
                episodes.append(read_episode(folder))
                seen.add(meta.episode_id)
        except UserError as error:
            verdicts.append(Verdict(folder.name, REFUSED, one_line(error), outcome))
    return episodes, verdicts


def _task(request: ConversionRequest, existing: Dataset | None, episodes: list[Episode]) -> TaskSpec:
    names = [request.task] if request.task else []
    if existing is not None:
        names.append(existing.info.get(OWN_KEY, {}).get("task", ""))
    names += [episode.meta.task for episode in episodes]
    if not names or not names[0]:
        raise UserError(f"{request.inputs[0]}: expected a whole episode with a wanted outcome; see --outcomes")
    return load_task(names[0])


def _cameras(existing: Dataset | None, episodes: list[Episode]) -> tuple[str, ...]:
    """The dataset's cameras, else every camera that any of the episodes has."""
    if existing is not None:
        return tuple(key.removeprefix(IMAGE_PREFIX) for key in existing.image_keys)
    return tuple(sorted({camera for episode in episodes for camera in episode.cameras}))


def _check_same_kind(
    request: ConversionRequest, existing: Dataset | None, task: TaskSpec, cameras: tuple[str, ...]
) -> None:
    if task.action.rate_hz != round(task.action.rate_hz):
        raise UserError(f"task {task.name}: expected a whole number of steps a second, got {task.action.rate_hz}")
    if existing is None:
        return
    own = existing.info.get(OWN_KEY)
    if not isinstance(own, dict):
        raise UserError(f"{request.dataset}: expected a dataset of 'prophrl data convert'; give another --out")
    wanted = json.loads(json.dumps(own_facts(task, cameras, request.rules)))
    for name in wanted:
        if own.get(name) != wanted[name]:
            raise UserError(
                f"{request.dataset}: was converted with {name} {own.get(name)!r}, asked for {wanted[name]!r}; "
                "give another --out"
            )


def _of_one_kind(existing: Dataset | None, staged: list[Path]) -> tuple[list[Path], dict[str, Verdict]]:
    """The parts whose features are the dataset's (or the first part's), and the verdict on the others."""
    fitting, verdicts, wanted, robot = [], {}, None, None
    if existing is not None:
        wanted = {name: feature for name, feature in existing.features.items() if name not in PLACED}
        robot = existing.robot_type
    for folder in staged:
        part, features = read_part(folder)
        wanted, robot = wanted or features, robot or part.facts["robot"]
        name = folder.name.rpartition("-")[0]
        differs = same_features(wanted, features)
        if part.facts["robot"] != robot:
            differs = f"recorded on {part.facts['robot']!r}, the others on {robot!r}"
        if differs:
            reason = f"does not fit the other episodes: {differs}; convert it into a dataset of its own"
            verdicts[name] = Verdict(name, REFUSED, reason, str(part.facts["outcome"]))
        else:
            fitting.append(folder)
    return fitting, verdicts


def _publish(
    request: ConversionRequest, existing: Dataset | None, task: TaskSpec, cameras: tuple[str, ...], staged: list[Path]
) -> None:
    parts, features = zip(*(read_part(folder) for folder in staged), strict=True)
    spec = DatasetSpec(
        fps=round(task.action.rate_hz),
        robot_type=str(parts[0].facts["robot"]),
        features=features[0],
        own=own_facts(task, cameras, request.rules),
    )
    before = parts_of(existing) if existing is not None else []
    publish(request.dataset, lambda folder: write_dataset(folder, spec, [*before, *parts], extended=existing))
