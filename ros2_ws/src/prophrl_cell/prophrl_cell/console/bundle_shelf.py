"""The policy bundles of a task, by name and version. Pure file reading; the policy node verifies what it loads."""

import dataclasses
import json
import re
from pathlib import Path

from prophrl_core.bundle import MANIFEST_NAME, MAX_JSON_BYTES, sha256_file
from prophrl_core.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclasses.dataclass(frozen=True)
class BundleEntry:
    """One bundle; ``version`` as the policy node reports it when it has loaded it."""

    name: str
    version: str


def bundles(folder: Path) -> list[BundleEntry]:
    """The bundles under ``folder``, by name; folders without a readable manifest are left out."""
    if not folder.is_dir():
        return []
    entries = (_entry(path) for path in sorted(folder.iterdir()) if NAME.fullmatch(path.name) and path.is_dir())
    return [entry for entry in entries if entry is not None]


def bundle_folder(folder: Path, name: str) -> Path:
    """The folder of bundle ``name``; UserError for a name that is not one of ``folder``."""
    path = folder / name
    if not NAME.fullmatch(name) or not (path / MANIFEST_NAME).is_file():
        raise UserError(f"policy: expected a bundle of {folder}, got {name[:60]!r}")
    return path.resolve()


def _entry(path: Path) -> BundleEntry | None:
    manifest = path / MANIFEST_NAME
    try:
        if manifest.stat().st_size > MAX_JSON_BYTES:
            return None
        name = json.loads(manifest.read_text(encoding="utf-8"))["name"]
        return BundleEntry(path.name, f"{name}@{sha256_file(manifest)[:12]}")
    except (OSError, ValueError, KeyError, TypeError):
        return None
