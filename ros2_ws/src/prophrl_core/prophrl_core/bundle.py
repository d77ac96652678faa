"""The policy bundle: a folder with a manifest, weights, statistics and a stored observation.

Nothing in a bundle is executed or unpickled: weights are safetensors or ONNX, the rest is JSON. Every
file is listed in the manifest with its size and SHA-256; a file that is missing, altered, too large or
not listed keeps the bundle from loading.
"""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from prophrl_core import replaced_folder, strict_yaml
from prophrl_core.action import ActionSpec
from prophrl_core.errors import UserError
from prophrl_core.task import PolicyImage

MANIFEST_NAME = "manifest.json"
STATISTICS_NAME = "statistics.json"
SMOKE_NAME = "smoke.safetensors"
ONNX_NAME = "policy.onnx"
WEIGHTS_NAME = "weights.safetensors"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 20 << 30
MAX_JSON_BYTES = 4 << 20
_A_BUNDLE = "a policy bundle"
_ALLOWED = (".onnx", ".safetensors", ".json", ".md", ".png", ".csv")


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One file of the bundle."""

    sha256: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class BundleManifest:
    """What the bundle is, how it was made and what it expects."""

    name: str
    task: str
    instruction: str
    architecture: str
    architecture_config: dict[str, int]
    action: ActionSpec
    spec_id: str
    image: PolicyImage
    proprioception_dims: int
    flow_steps: int
    statistics_sha256: str
    command: str
    seed: int
    metrics: dict[str, float]
    files: dict[str, FileEntry]
    created: str = ""
    format_version: int = FORMAT_VERSION


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A verified bundle. ``version`` is its name and the first 12 hex digits of the manifest's hash."""

    path: Path
    manifest: BundleManifest
    statistics: dict
    version: str

    def file(self, name: str) -> Path:
        """Path of a listed file; UserError when the bundle has none such."""
        if name not in self.manifest.files:
            raise UserError(f"bundle {self.path}: expected {name} in it, found {', '.join(self.manifest.files)}")
        return self.path / name

    def smoke(self, *names: str) -> dict[str, np.ndarray]:
        """The stored observation and the action chunk it gave when the bundle was made; UserError without ``names``."""
        path = self.file(SMOKE_NAME)
        try:
            arrays = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            what = " ".join(str(error).split())
            raise UserError(f"{path}: cannot be read ({what}); export the bundle again") from None
        missing = [name for name in names if name not in arrays]
        if missing:
            found = ", ".join(arrays)
            raise UserError(f"{path}: expected {missing[0]!r} in it, found {found}; export the bundle again")
        return arrays


def sha256_file(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bundle(
    path: Path, manifest: BundleManifest, statistics: dict, smoke: dict[str, np.ndarray], files: dict[str, Path]
) -> Bundle:
    """Write a bundle atomically to ``path``; a bundle that is there is replaced, UserError when it is anything else.

    ``files`` maps names inside the bundle to files to copy. The manifest's ``files``,
    ``statistics_sha256`` and ``spec_id`` are filled in here.
    """
    check_bundle_place(path)
    final = Path(path).resolve()
    replaced_folder.recover(final, _is_bundle, _A_BUNDLE)
    partial = replaced_folder.begin(final)
    for name, source in files.items():
        shutil.copyfile(source, partial / name)
    (partial / STATISTICS_NAME).write_text(json.dumps(statistics, indent=1, sort_keys=True) + "\n")
    save_file(smoke, partial / SMOKE_NAME)
    written = sorted(p for p in partial.iterdir() if p.name != replaced_folder.MARK)
    entries = {p.name: FileEntry(sha256_file(p), p.stat().st_size) for p in written}
    manifest = dataclasses.replace(
        manifest, files=entries, statistics_sha256=entries[STATISTICS_NAME].sha256, spec_id=manifest.action.id
    )
    (partial / MANIFEST_NAME).write_text(json.dumps(dataclasses.asdict(manifest), indent=1) + "\n")
    replaced_folder.finish(final)
    return read_bundle(path)


def check_bundle_place(path: str | Path) -> None:
    """UserError unless a bundle may be written to ``path``: nothing is there, or a bundle and nothing else."""
    replaced_folder.check(Path(path).resolve(), _is_bundle, _A_BUNDLE)


def _is_bundle(folder: Path) -> bool:
    """Whether everything in the folder is listed in its manifest."""
    try:
        listed = _read_json(folder / MANIFEST_NAME).get("files")
    except (OSError, UserError):
        return False
    return isinstance(listed, dict) and {p.name for p in folder.iterdir()} <= {MANIFEST_NAME, *listed}


def _read_json(path: Path) -> dict:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UserError(f"{path}: expected at most {MAX_JSON_BYTES} bytes, got {path.stat().st_size}")
    try:
        data = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch the bundle again") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def read_bundle(path: str | Path, action: ActionSpec | None = None) -> Bundle:
    """Read and verify a bundle; with ``action``, also that it speaks that action spec.

    Raises UserError naming the first thing that is wrong. Nothing of the bundle is used before all
    hashes match.
    """
    path = Path(path)
    manifest_path = path / MANIFEST_NAME
    if not manifest_path.is_file():
        raise UserError(f"policy bundle: expected {MANIFEST_NAME} in {path}, found none; check the path")
    manifest = strict_yaml.build(BundleManifest, _read_json(manifest_path), str(manifest_path))
    if manifest.format_version != FORMAT_VERSION:
        raise UserError(f"{path}: expected bundle format {FORMAT_VERSION}, got {manifest.format_version}; export it again")
    present = {p.name for p in path.iterdir()} - {MANIFEST_NAME}
    for name, entry in manifest.files.items():
        file = path / name
        if Path(name).name != name or Path(name).suffix not in _ALLOWED:
            raise UserError(f"{path}: file name {name!r} is not allowed in a bundle; do not use this bundle")
        if name not in present or file.is_symlink() or not file.is_file():
            raise UserError(f"{path}: expected the file {name}, found none; fetch the bundle again")
        if entry.bytes > MAX_FILE_BYTES or file.stat().st_size != entry.bytes:
            raise UserError(f"{path}: expected {name} with {entry.bytes} bytes, got {file.stat().st_size}; fetch it again")
        if sha256_file(file) != entry.sha256:
            raise UserError(f"{path}: {name} does not match its SHA-256; the bundle was altered, fetch it again")
    extra = sorted(present - set(manifest.files))
    if extra:
        raise UserError(f"{path}: unlisted file {extra[0]!r} in the bundle; remove it or fetch the bundle again")
    for name in (STATISTICS_NAME, SMOKE_NAME):
        if name not in manifest.files:
            raise UserError(f"{path}: expected {name} in the bundle, found none; export it again")
    if manifest.statistics_sha256 != manifest.files[STATISTICS_NAME].sha256:
        raise UserError(f"{path}: the normalisation statistics are not those the policy was trained with; export it again")
    if manifest.spec_id != manifest.action.id:
        raise UserError(f"{path}: expected spec id {manifest.action.id}, got {manifest.spec_id}; the manifest was altered")
    if action is not None and action.id != manifest.spec_id:
        raise UserError(
            f"{path}: its action spec {manifest.spec_id} is not the task's {action.id}; use a policy trained for this task"
        )
    version = f"{manifest.name}@{sha256_file(manifest_path)[:12]}"
    return Bundle(path, manifest, _read_json(path / STATISTICS_NAME), version)
