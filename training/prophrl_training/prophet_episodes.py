"""Episodes of a dataset as Prophet takes them: pictures at the model's size, commanded poses, actions, the camera.

The camera comes from the episode where it says what it is (simulated ones do), else from a cell. Row t of a dataset
holds the picture and the pose before action t, so the last row's action is not used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import TaskSpec
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.imagination import View

from prophrl_training.datasets.conversion import IMAGE_PREFIX
from prophrl_training.datasets.metadata_writer import OWN_KEY
from prophrl_training.datasets.reader import Dataset
from prophrl_training.prophet_clips import EpisodeLabels, ProphetEpisode
from prophrl_training.truth_columns import CAMERA_FACT, TRUTH_CONTACT, TRUTH_OBJECTS, TRUTH_SUCCESS

_COLUMNS = ("observation.proprio", "action")
_CAMERA_NUMBERS = ("width", "height", "fx", "fy", "cx", "cy")


def read_prophet_episodes(
    dataset: Dataset,
    config: ProphetConfig,
    task: TaskSpec,
    cell: CellSpec | None = None,
    positions: list[int] | None = None,
) -> Iterator[ProphetEpisode]:
    """Episodes at ``positions`` (all when None), checked; UserError names what does not fit ``config``."""
    check_dataset(dataset, config, task)
    for position in range(len(dataset.episodes)) if positions is None else positions:
        episode = _episode(dataset, position, config, task, cell)
        episode.check(config)
        yield episode


def chosen_positions(dataset: Dataset, limit: int | None, seed: int, at_least: int = 1) -> list[int]:
    """At most ``limit`` episodes of ``at_least`` rows, drawn by ``seed``, in the dataset's order."""
    listed = [position for position, entry in enumerate(dataset.episodes) if entry.length >= at_least]
    if limit is None or limit >= len(listed):
        return listed
    return sorted(np.random.default_rng(seed).choice(listed, limit, replace=False).tolist())


def check_dataset(dataset: Dataset, config: ProphetConfig, task: TaskSpec) -> None:
    """UserError unless its actions, rate and pictures are what ``config`` and ``task`` need."""
    spec = (dataset.info.get(OWN_KEY) or {}).get("spec_id")
    if spec != task.action.id:
        raise UserError(
            f"{dataset.folder}: expected actions of spec {task.action.id} (task {task.name}), got {spec or 'none'}; "
            "convert it for that task"
        )
    if dataset.fps != config.rate_hz:
        raise UserError(
            f"{dataset.folder}: expected {config.rate_hz:g} rows a second for {config.name}, got {dataset.fps:g}; "
            "convert it at that rate"
        )
    for name in (*_COLUMNS, IMAGE_PREFIX + task.image.camera):
        if name not in dataset.features:
            raise UserError(f"{dataset.folder}: expected {name}, found none; convert the episodes with that camera")


def _episode(
    dataset: Dataset, position: int, config: ProphetConfig, task: TaskSpec, cell: CellSpec | None
) -> ProphetEpisode:
    entry = dataset.episodes[position]
    name = str(entry.facts.get("episode_id") or f"{dataset.folder.name} episode {entry.index}")
    known = [key for key in (TRUTH_OBJECTS, TRUTH_CONTACT, TRUTH_SUCCESS) if key in dataset.features]
    rows = dataset.rows(position, [*_COLUMNS, *known])
    pictures, size, camera = [], (config.width, config.height), entry.facts.get(CAMERA_FACT)
    for frame in dataset.frames(position, IMAGE_PREFIX + task.image.camera):
        frame = frame if camera is not None else crop_and_resize(frame, task.image)
        pictures.append(frame if frame.shape[1::-1] == size else cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    proprio = rows["observation.proprio"].astype(float)
    objects = rows[TRUTH_OBJECTS].reshape(len(proprio), -1, 9) if TRUTH_OBJECTS in rows else None
    labels = EpisodeLabels(
        str(entry.facts.get("outcome") or ""), rows.get(TRUTH_SUCCESS), rows.get(TRUTH_CONTACT), objects
    )
    return ProphetEpisode(
        name, np.stack(pictures), *poses_of(proprio), rows["action"][:-1].astype(float),
        _view(camera, task, cell, config, name), dataset.fps, labels,
    )  # fmt: skip


def poses_of(proprio_F10: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T_base_tcp (F, 4, 4) and openness (F,) of proprioception; float32 columns are made orthonormal again."""
    x, y = proprio_F10[:, 3:6], proprio_F10[:, 6:9]
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = y - (x * y).sum(1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    out = np.zeros((len(x), 4, 4))
    out[:, :3, 0], out[:, :3, 1], out[:, :3, 2] = x, y, np.cross(x, y)
    out[:, :3, 3], out[:, 3, 3] = proprio_F10[:, :3], 1.0
    return out, proprio_F10[:, 9]


def _view(fact: object, task: TaskSpec, cell: CellSpec | None, config: ProphetConfig, name: str) -> View:
    """The camera at the model's picture size; UserError when nothing says where it is."""
    if fact is not None:
        try:
            told = json.loads(str(fact))
            numbers = [float(told[key]) for key in _CAMERA_NUMBERS]
            pose = np.array(told["T_base_camera"], dtype=float)
            if pose.shape != (6,) or not np.isfinite([*numbers, *pose]).all() or min(numbers[:4]) <= 0:
                raise ValueError("other numbers")
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{name}: expected a camera in {CAMERA_FACT} ({error}); make the dataset again") from None
        camera = CameraModel(int(numbers[0]), int(numbers[1]), *numbers[2:])
        return View(camera.scaled(config.width, config.height), se3.pose_from_rotvec(pose))
    if cell is None:
        raise UserError(f"{name}: expected a calibrated camera, the episode has none; give --cell")
    spec = cell.camera(task.image.camera)
    if spec.T_tool0_camera is not None:
        raise UserError(f"{name}: expected a camera that stands still, {spec.name} is on the tool; choose another task")
    model = (spec.measured_model or spec.model).cropped(*task.image.crop)
    return View(model.scaled(config.width, config.height), spec.pose)
