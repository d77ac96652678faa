"""A dataset folder is replaced as a whole, so that a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from prophrl_core.episode import sync_folder
from prophrl_core.errors import UserError

_NEW, _OLD, _WORK = ".partial", ".previous", ".work"


def work_folder(dataset: Path) -> Path:
    """Where work on a dataset is kept until it is published."""
    return dataset.with_name(dataset.name + _WORK)


@contextlib.contextmanager
def locked(dataset: Path) -> Iterator[None]:
    """Nobody else writes this dataset meanwhile; what a killed writer left half done is put right first."""
    work = work_folder(dataset)
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{dataset}: another command writes this dataset; wait until it is done") from None
        _recover(dataset)
        yield
        with contextlib.suppress(OSError):
            (work / "lock").unlink()
            work.rmdir()  # stays when it still holds work


def publish(dataset: Path, write: Callable[[Path], None]) -> None:
    """Let ``write(folder)`` make a new dataset, then put it in the place of the old one, under ``locked``."""
    new, old = dataset.with_name(dataset.name + _NEW), dataset.with_name(dataset.name + _OLD)
    shutil.rmtree(new, ignore_errors=True)
    write(new)
    for path in new.rglob("*"):
        _sync(path)
    if dataset.exists():
        dataset.rename(old)
    new.rename(dataset)
    sync_folder(dataset.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(dataset: Path) -> None:
    new, old = dataset.with_name(dataset.name + _NEW), dataset.with_name(dataset.name + _OLD)
    if not dataset.exists() and old.exists():
        old.rename(dataset)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
