"""Where cell and task descriptions are found."""

import os
from pathlib import Path

from prophrl_core.errors import UserError

KINDS = ("cells", "tasks")


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
    """The YAML of cell or task ``name`` (a name or a path). ``kind`` is "cells" or "tasks".

    Raises UserError naming what is available.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    direct = Path(name)
    if direct.suffix in (".yaml", ".yml"):
        if direct.is_file():
            return direct
        raise UserError(f"{kind[:-1]} description: expected a file at {direct}, found none; check the path")
    for folder in _folders(kind):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    known = ", ".join(available(kind)) or "none found"
    raise UserError(f"{kind[:-1]} {str(name)!r} is not known (known: {known}); give one of these or a path to a .yaml")


def available(kind: str) -> list[str]:
    """Names of all descriptions of a kind that can be found."""
    return sorted({p.stem for folder in _folders(kind) if folder.is_dir() for p in folder.glob("*.yaml")})
