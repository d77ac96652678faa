"""Where descriptions of cells, tasks and teleoperation devices are found."""

import os
from pathlib import Path

from prophrl_core.errors import UserError

KINDS = {"cells": "cell", "tasks": "task", "teleop": "teleop device"}  # folder: what one of them describes


def _folders(kind: str) -> list[Path]:
    folders = [Path(p) / kind for p in os.environ.get("PROPHRL_CONFIG_PATH", "").split(os.pathsep) if p]
    folders += [
        Path(p) / "share" / "prophrl_bringup" / "config" / kind
        for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        if p
    ]
    source = Path(__file__).resolve().parents[2] / "prophrl_bringup" / "config" / kind
    return folders + [source]


def find_config(kind: str, name: str | os.PathLike) -> Path:
    """The YAML called ``name`` (a name or a path). ``kind`` is one of KINDS.

    Raises UserError naming what is available.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    direct = Path(name)
    if direct.suffix in (".yaml", ".yml"):
        if direct.is_file():
            return direct
        raise UserError(f"{KINDS[kind]} description: expected a file at {direct}, found none; check the path")
    for folder in _folders(kind):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    known = ", ".join(available(kind)) or "none found"
    raise UserError(f"{KINDS[kind]} {str(name)!r} is not known (known: {known}); give one of these or a path to a .yaml")


def available(kind: str) -> list[str]:
    """Names of all descriptions of a kind that can be found."""
    return sorted({p.stem for folder in _folders(kind) if folder.is_dir() for p in folder.glob("*.yaml")})
