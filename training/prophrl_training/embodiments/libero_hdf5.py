"""LIBERO's native HDF5 demonstrations (its scripts/create_dataset.py; layout of LIBERO 2023).

    data            attributes env_args, problem_info, bddl_file_name, macros_image_convention, num_demos, total
      demo_0        attributes num_samples, model_file (MuJoCo XML)
        actions     (T, 7)
        obs/        ee_pos, ee_ori, gripper_states, joint_states, agentview_rgb, eye_in_hand_rgb (T, H, W, 3)

Rows of ``obs`` were taken after the action of the same row. Pictures are stored as OpenGL reads them, bottom row
first; ``frames`` gives them upright. Files without ``problem_info`` are replays (regenerate_libero_dataset.py): rows
before the action, pictures turned by 180 degrees, another ``card``. Files are foreign: sizes are bounded, links out of
the file are refused.
"""

import contextlib
import dataclasses
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError

from prophrl_training.embodiments.pictures import upright

MAX_DEMOS = 10_000
MAX_ROWS = 100_000
MAX_WIDTH = 64  # numbers per row of a column
MAX_ROW_BYTES = 16 << 20  # one picture of 2000x2000 and some
MAX_CHUNK_BYTES = 256 << 20
MAX_TEXT = 8 << 20
CARD, REPLAY_CARD = "libero_hdf5", "libero_hdf5_no_noops"
COLUMNS = ("actions", "obs/ee_pos", "obs/ee_ori", "obs/gripper_states", "obs/joint_states")
# What h5py raises on damaged and foreign files, found by trying.
H5_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError, OverflowError)
_DEMO = re.compile(r"demo_(\d{1,6})$")
_GL_TO_OPTICAL = np.diag([1.0, -1.0, -1.0])


@dataclasses.dataclass(frozen=True)
class LiberoCamera:
    """A camera of the scene. ``T_world_camera`` (optical frame) is None when it moves with the arm."""

    model: CameraModel
    T_world_camera: np.ndarray | None


class LiberoFile:
    """One task's demonstrations. Use as a context manager; UserError for anything that is not such a file."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{self.path}: expected a LIBERO HDF5 file, found none; check the path")
        with self._reading():
            self._file = h5py.File(self.path, "r")
        try:
            with self._reading():
                self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        self._data = self._group(self._file, "data")
        self.facts = {name: self._text(self._data, name) for name in ("env_args", "problem_info", "bddl_file_name")}
        convention = self._text(self._data, "macros_image_convention") or "opengl"
        if convention not in ("opengl", "opencv"):
            raise UserError(f"{self.path}: expected image convention opengl or opencv, got {convention[:40]!r}")
        self.card = CARD if self.facts["problem_info"] else REPLAY_CARD
        self._stored = (
            "mirrored" if self.card == REPLAY_CARD else "upside_down" if convention == "opengl" else "upright"
        )
        numbers = sorted(int(match[1]) for match in map(_DEMO.match, self._data) if match)
        if not 0 < len(numbers) <= MAX_DEMOS:
            raise UserError(f"{self.path}: expected 1 to {MAX_DEMOS} groups data/demo_i, got {len(numbers)}")
        self.demos = tuple(f"demo_{n}" for n in numbers)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """UserError for whatever a damaged or foreign file makes of itself."""
        try:
            yield
        except H5_ERRORS as error:
            what = " ".join(str(error).split())[:160] or type(error).__name__
            raise UserError(f"{self.path}: expected a whole HDF5 file, got: {what}; copy it again") from None

    def __enter__(self) -> "LiberoFile":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    @property
    def instruction(self) -> str:
        """The task in words, from problem_info, else from the file's name."""
        problem = self._json("problem_info")
        words = problem.get("language_instruction", "")
        if isinstance(words, list):
            words = " ".join(str(w) for w in words)
        named = re.sub(r"^.*_SCENE\d+_", "", self.path.stem).removesuffix("_demo").replace("_", " ")
        return str(words).strip() or named

    @property
    def environment(self) -> dict:
        """``env_args`` of the file: how to build the simulator that recorded it."""
        return self._json("env_args")

    @property
    def task_definition(self) -> str:
        """Name of the BDDL file that defines the task."""
        return Path(self.facts["bddl_file_name"]).name

    def columns(self, demo: str) -> dict[str, np.ndarray]:
        """The numbers (T, K) of one demonstration by the names that the card uses."""
        with self._reading():
            group = self._demo(demo)
            columns = {name: self._numbers(group, name) for name in COLUMNS if self._has(group, name)}
        lengths = {len(values) for values in columns.values()}
        if "actions" not in columns or len(lengths) != 1:
            got = ", ".join(f"{name} {len(values)}" for name, values in columns.items()) or "none"
            raise UserError(f"{self.path}: {demo}: expected columns of one length with actions among them, got {got}")
        return columns

    def cameras(self, demo: str) -> tuple[str, ...]:
        """Names of the columns that hold pictures."""
        with self._reading():
            group = self._demo(demo)
            if not self._has(group, "obs"):
                return ()
            return tuple(sorted(f"obs/{name}" for name in self._group(group, "obs") if name.endswith("_rgb")))

    def frames(self, demo: str, key: str, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Upright pictures (H, W, 3) uint8 RGB of the rows (default: all), one at a time."""
        with self._reading():
            pictures = self._dataset(self._demo(demo), key)
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            raise UserError(
                f"{self.path}: {demo}/{key}: expected (T, H, W, 3) uint8, got {pictures.shape} {pictures.dtype}"
            )
        for row in range(len(pictures)) if rows is None else rows:
            with self._reading():
                picture = pictures[int(row)]
            yield upright(picture, self._stored).copy()

    def camera(self, demo: str, name: str, width: int, height: int) -> LiberoCamera:
        """Intrinsics and pose of a camera ("agentview") from the demonstration's MuJoCo model.

        MuJoCo's cameras look along -z with y up; fovy is the vertical field of view, 45 degrees by default. Cameras
        of bodies other than the world have no fixed pose.
        """
        with self._reading():
            text = self._text(self._demo(demo), "model_file")
        if not text or "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UserError(f"{self.path}: {demo}: expected a plain MuJoCo XML in model_file, got none")
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{self.path}: {demo}: model_file is not XML: {error}") from None
        camera = next((c for c in root.iter("camera") if c.get("name") == name), None)
        if camera is None:
            known = ", ".join(sorted(str(c.get("name")) for c in root.iter("camera")))
            raise UserError(f"{self.path}: {demo}: expected a camera {name!r} in model_file, found: {known}")
        try:
            numbers = {key: _numbers(camera.get(key, default), default) for key, default in _CAMERA_DEFAULTS.items()}
        except ValueError as error:
            raise UserError(f"{self.path}: {demo}: camera {name!r} of model_file: {error}") from None
        if not 0 < numbers["fovy"][0] < 180:
            raise UserError(
                f"{self.path}: {demo}: camera {name!r}: expected fovy of 0 to 180 degrees, got {numbers['fovy'][0]}"
            )
        focal = 0.5 * height / math.tan(math.radians(float(numbers["fovy"][0])) / 2)
        model = CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        world = root.find("worldbody")
        if world is None or camera not in list(world):
            return LiberoCamera(model, None)
        rotation = se3.matrix_from_quat(np.roll(numbers["quat"], -1)) @ _GL_TO_OPTICAL
        return LiberoCamera(model, se3.transform(rotation, numbers["pos"]))

    def _demo(self, demo: str) -> h5py.Group:
        if demo not in self.demos:
            raise UserError(f"{self.path}: expected one of {len(self.demos)} demonstrations, got {demo!r}")
        return self._group(self._data, demo)

    def _has(self, group: h5py.Group, name: str) -> bool:
        return all(self._is_inside(group, "/".join(name.split("/")[: i + 1])) for i in range(len(name.split("/"))))

    def _is_inside(self, group: h5py.Group, name: str) -> bool:
        link = group.get(name, getlink=True)
        if link is None:
            return False
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{self.path}: {name}: expected data in the file itself, got a link; refused")
        return True

    def _group(self, parent: h5py.Group, name: str) -> h5py.Group:
        if not self._has(parent, name) or not isinstance(parent[name], h5py.Group):
            raise UserError(f"{self.path}: expected a group {name!r} as in LIBERO's demonstrations, found none")
        return parent[name]

    def _dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        if not self._has(group, name) or not isinstance(group[name], h5py.Dataset):
            raise UserError(f"{self.path}: {group.name}: expected a dataset {name!r}, found none")
        dataset = group[name]
        if dataset.external or dataset.is_virtual:
            raise UserError(f"{self.path}: {dataset.name}: expected data in the file itself, got other files; refused")
        if dataset.dtype.kind not in "iuf" or dataset.ndim < 1:
            raise UserError(f"{self.path}: {dataset.name}: expected rows of numbers, got {dataset.dtype}")
        row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
        chunk_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if len(dataset) > MAX_ROWS or row_bytes > MAX_ROW_BYTES or chunk_bytes > MAX_CHUNK_BYTES:
            raise UserError(f"{self.path}: {dataset.name}: {dataset.shape} is more than a demonstration holds; refused")
        return dataset

    def _numbers(self, group: h5py.Group, name: str) -> np.ndarray:
        dataset = self._dataset(group, name)
        if dataset.ndim != 2 or dataset.shape[1] > MAX_WIDTH:
            raise UserError(
                f"{self.path}: {dataset.name}: expected (T, K) with K up to {MAX_WIDTH}, got {dataset.shape}"
            )
        return dataset[()]

    def _text(self, group: h5py.Group, name: str) -> str:
        if name not in group.attrs:
            return ""
        if group.attrs.get_id(name).get_storage_size() > MAX_TEXT:
            raise UserError(f"{self.path}: attribute {name!r} is longer than {MAX_TEXT >> 20} MiB; refused")
        value = group.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise UserError(f"{self.path}: expected text of at most {MAX_TEXT >> 20} MiB in attribute {name!r}")
        return value

    def _json(self, name: str) -> dict:
        try:
            value = json.loads(self.facts[name] or "{}")
        except ValueError:
            raise UserError(f"{self.path}: expected JSON in attribute {name!r}") from None
        return value if isinstance(value, dict) else {}


_CAMERA_DEFAULTS = {"pos": "0 0 0", "quat": "1 0 0 0", "fovy": "45"}


def _numbers(text: str, default: str) -> np.ndarray:
    values = np.array(text.split(), float)
    if len(values) != len(default.split()) or not np.isfinite(values).all():
        raise ValueError(f"expected {len(default.split())} numbers, got {text[:60]!r}")
    return values
