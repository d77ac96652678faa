"""Folders that are made beside their place and put there as a whole: a kill leaves the old one or the new one.

Nothing that somebody else made is deleted. A folder is taken for ours when it is empty, when it bears our mark (which
``begin`` sets and ``finish`` takes away), or when ``is_ours(folder)`` knows its content.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from prophrl_core.durability import sync
from prophrl_core.errors import UserError

MARK = ".prophrl-unfinished"
_NEW, _OLD = ".partial", ".previous"


def check(final: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """UserError unless ``final`` and the two names beside it are free or hold what we made, ``what`` in words."""
    for folder in (final, _new(final), _old(final)):
        check_one(folder, is_ours, what)


def check_one(folder: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """The same for one folder."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: expected a free name or {what}, found something else; give another --out")
    if any(folder.iterdir()) and not (folder / MARK).is_file() and not is_ours(folder):
        raise UserError(
            f"{folder}: expected nothing there or {what}, found other files, which would be lost; give another --out"
            " or move them away"
        )


def recover(final: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Put right what a killed command left half done beside ``final``; UserError when it is not ours."""
    new, old = _new(final), _old(final)
    for folder in (new, old):
        check_one(folder, is_ours, what)
    if old.exists() and not final.exists():
        old.rename(final)
    _discard(new)
    _discard(old)


def begin(final: Path) -> Path:
    """A new, marked folder to fill, after ``recover``; ``finish`` gives it its name."""
    new = _new(final)
    new.mkdir(parents=True)
    (new / MARK).touch()
    return new


def finish(final: Path) -> None:
    """Force what ``begin`` gave to the disk, put it in the place of ``final`` and delete what was there."""
    new, old = _new(final), _old(final)
    (new / MARK).unlink()
    for path in (*new.rglob("*"), new):
        sync(path)
    if final.exists():
        final.rename(old)
    new.rename(final)
    sync(final.parent)
    _discard(old)


def _new(final: Path) -> Path:
    return final.with_name(final.name + _NEW)


def _old(final: Path) -> Path:
    return final.with_name(final.name + _OLD)


def _discard(folder: Path) -> None:
    """Delete a folder of ours; the mark goes last, so that the rest of it is known after a kill."""
    if not folder.exists():
        return
    (folder / MARK).touch()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    (folder / MARK).unlink()
    folder.rmdir()
