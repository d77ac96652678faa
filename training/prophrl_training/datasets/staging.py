"""Converting episodes into a work folder, each once, by several processes: what is finished there stays finished."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from prophrl_core.episode import META_NAME
from prophrl_core.episode_reader import Episode
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec

from prophrl_training.datasets.conversion import ConversionRules, stage_episode
from prophrl_training.datasets.episode_streams import SOURCES
from prophrl_training.datasets.parts import PART_NAME, read_part
from prophrl_training.datasets.publish import work_folder
from prophrl_training.datasets.resample import NOBODY

VERSION = 1  # of the rules; another one converts everything anew
CONVERTED, PRESENT, LEFT_OUT, REFUSED = "converted", "present", "left out", "refused"
DEFAULT_OUTCOMES = ("success", "failure")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one episode. ``path_error`` is of the integrated actions against the commanded path (m)."""

    name: str
    verdict: str
    reason: str = ""
    outcome: str = ""
    rows: int = 0
    path_error: float = 0.0


@dataclasses.dataclass(frozen=True)
class ConversionRequest:
    """What to convert and how; ``task`` and ``cameras`` are taken from the dataset or the episodes when empty.

    ``workers`` processes convert, 0 means one per core; the result does not depend on how many.
    """

    inputs: tuple[Path, ...]
    dataset: Path
    task: str = ""
    cameras: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = DEFAULT_OUTCOMES
    rules: ConversionRules = ConversionRules()
    workers: int = 1


def own_facts(task: TaskSpec, cameras: tuple[str, ...], rules: ConversionRules) -> dict:
    return {
        "version": VERSION,
        "task": task.name,
        "spec_id": task.action.id,
        "action_spec": dataclasses.asdict(task.action),
        "cameras": list(cameras),
        "rules": dataclasses.asdict(rules),
        "control": {str(NOBODY): "nobody"} | {str(code): name for code, name in enumerate(SOURCES)},
    }


def convert_all(
    episodes: list[Episode], task: TaskSpec, cameras: tuple[str, ...], request: ConversionRequest
) -> Iterator[tuple[Verdict, Path | None]]:
    """``_convert_one`` of each, in order, by ``request.workers`` processes."""
    convert_one = functools.partial(_convert_one, task=task, cameras=cameras, request=request)
    workers = min(request.workers or os.cpu_count() or 1, len(episodes))
    if workers <= 1:
        yield from map(convert_one, episodes)
        return
    with multiprocessing.get_context("spawn").Pool(workers, end_with, (os.getpid(),)) as pool:
        yield from pool.imap(convert_one, episodes)


def end_with(parent: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and end when it has been killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _convert_one(
    episode: Episode, task: TaskSpec, cameras: tuple[str, ...], request: ConversionRequest
) -> tuple[Verdict, Path | None]:
    """Stage one episode, unless a run before this one has; the verdict and the folder it is in."""
    folder, meta = episode.folder, episode.meta
    digest = _digest(folder, own_facts(task, cameras, request.rules))
    staged = work_folder(request.dataset) / f"{folder.name}-{digest}"
    if not (staged / PART_NAME).is_file():
        unfinished = staged.with_name(f"{staged.name}.{os.getpid()}.partial")
        try:
            stage_episode(unfinished, episode, task, cameras, request.rules)
        except UserError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            return Verdict(folder.name, REFUSED, one_line(error), meta.outcome), None
        unfinished.rename(staged)
    part, _ = read_part(staged)
    late, worst = part.facts["late_rows"], part.facts["worst_image_age"]
    note = f"{late} of {part.length} rows have a picture up to {worst:.2f} s off (image_age)" if late else ""
    error = float(part.facts["path_error_m"])
    return Verdict(folder.name, CONVERTED, note, meta.outcome, part.length, error), staged


def _digest(folder: Path, facts: dict) -> str:
    """Changes with the rules and with the episode."""
    sizes = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
    sha = hashlib.sha256(json.dumps([facts, sizes], sort_keys=True).encode())
    sha.update((folder / META_NAME).read_bytes())
    return sha.hexdigest()[:16]


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
