"""A dataset folder is replaced as a whole, so that a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from prophrl_core import replaced_folder
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout

_WORK = ".work"
_A_DATASET = "what a conversion left"


def work_folder(dataset: Path) -> Path:
    """Where work on a dataset is kept until it is published."""
    return dataset.with_name(dataset.name + _WORK)


@contextlib.contextmanager
def locked(dataset: Path) -> Iterator[None]:
    """Nobody else writes this dataset meanwhile; what a killed writer left half done is put right first."""
    work = work_folder(dataset)
    replaced_folder.check_one(work, lambda _: False, _A_DATASET)
    work.mkdir(parents=True, exist_ok=True)
    mark, held = work / replaced_folder.MARK, work / "lock"
    mark.touch()
    with held.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{dataset}: another command writes this dataset; wait until it is done") from None
        replaced_folder.recover(dataset, _is_dataset, _A_DATASET)
        yield
        with contextlib.suppress(OSError):
            held.unlink()
            if list(work.iterdir()) == [mark]:  # else it still holds work
                mark.unlink()
                work.rmdir()


def publish(dataset: Path, write: Callable[[Path], None]) -> None:
    """Let ``write(folder)`` fill a new dataset's folder, then put it in the place of the old one, under ``locked``."""
    replaced_folder.recover(dataset, _is_dataset, _A_DATASET)
    write(replaced_folder.begin(dataset))
    replaced_folder.finish(dataset)


def _is_dataset(folder: Path) -> bool:
    return (folder / layout.INFO).is_file()
