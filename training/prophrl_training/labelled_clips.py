"""Clips with labels, real and imagined: what the judge learns from, and which of them are held out.

A simulated dataset says at every row whether the goal has been held by then; a recorded one only how the episode
ended, which labels its last picture. Dimensions: N clip of a file, F frame, S side of a small picture, L labelled step,
P proprioception.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from prophrl_core.errors import UserError
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import PolicyImage
from safetensors import SafetensorError, safe_open

from prophrl_training.datasets.conversion import IMAGE_PREFIX
from prophrl_training.datasets.merge import choose_validation
from prophrl_training.datasets.reader import Dataset
from prophrl_training.picture_trunk import shrunk
from prophrl_training.truth_columns import TRUTH_SUCCESS

PROPRIO_COLUMN = "observation.proprio"
CELLS = 10  # from so many different cells on, whole cells are held out


@dataclasses.dataclass(frozen=True)
class Clip:
    """One episode or imagined rollout, its pictures small; ``success_F`` is known at the steps ``labelled_L``."""

    name: str
    frames_FSS3: np.ndarray  # uint8
    success_F: np.ndarray  # bool: the goal has been held by then
    labelled_L: np.ndarray
    proprio_FP: np.ndarray | None = None  # commanded, as prophrl_core.action.proprioception
    imagined: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the goal was held at any step."""
        return bool(self.success_F.any())


def digest_of(clips: list[Clip]) -> str:
    """Sixteen hex digits that change with anything in the clips."""
    digest = hashlib.sha256()
    for clip in clips:
        for part in (clip.frames_FSS3, clip.success_F, clip.labelled_L, clip.proprio_FP):
            if part is not None:
                digest.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        digest.update(f"{clip.name} {clip.imagined}".encode())
    return digest.hexdigest()[:16]


def read_episodes(
    dataset: Dataset, positions: list[int], image: PolicyImage, size: int, progress: Callable[[int, int], None]
) -> list[Clip]:
    """The episodes at ``positions`` that have a label, through the crop of the task's camera, ``size`` pixels a side.

    UserError when the camera, or both the column ``truth.success`` and the outcomes, are missing.
    """
    key = IMAGE_PREFIX + image.camera
    if key not in dataset.image_keys:
        known = ", ".join(dataset.image_keys) or "none"
        raise UserError(f"{dataset.folder}: expected pictures {key}, it has: {known}; convert it with that camera")
    clips = []
    for done, position in enumerate(positions):
        frames = dataset.frames(position, key)
        labels = _labels(dataset, position)
        if labels is not None:
            pictures = torch.from_numpy(np.stack([_seen(frame, image, dataset) for frame in frames]))
            proprio_FP = None
            if PROPRIO_COLUMN in dataset.features:
                proprio_FP = np.asarray(dataset.rows(position, [PROPRIO_COLUMN])[PROPRIO_COLUMN], np.float32)
            name = f"episode {dataset.episodes[position].index}"
            clips.append(Clip(name, shrunk(pictures, size).numpy(), *labels, proprio_FP))
        progress(done + 1, len(positions))
    if positions and not clips:
        raise UserError(
            f"{dataset.folder}: expected the column {TRUTH_SUCCESS} or episodes whose outcome is success or failure, "
            "found neither; label the episodes"
        )
    return clips


def _labels(dataset: Dataset, position: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Success by step (F,) and the labelled steps; None when nobody knows."""
    entry = dataset.episodes[position]
    if TRUTH_SUCCESS in dataset.features:
        success_F = dataset.rows(position, [TRUTH_SUCCESS])[TRUTH_SUCCESS]
        if success_F.dtype != bool or success_F.shape != (entry.length,):
            raise UserError(
                f"{dataset.folder}: expected {TRUTH_SUCCESS} to be one bool a row, got {success_F.dtype} "
                f"{success_F.shape[1:]}; write it again"
            )
        return success_F, np.arange(entry.length)
    outcome = entry.facts.get("outcome")
    if outcome not in ("success", "failure"):
        return None
    success_F = np.zeros(entry.length, bool)
    success_F[-1] = outcome == "success"
    return success_F, np.array([entry.length - 1])


def _seen(frame_HW3: np.ndarray, image: PolicyImage, dataset: Dataset) -> np.ndarray:
    """The task's view of a camera's picture. One smaller than the crop and of its shape was cropped before."""
    height, width = frame_HW3.shape[:2]
    _, _, crop_width, crop_height = image.crop
    if width <= crop_width and height <= crop_height and (width, height) != (crop_width, crop_height):
        if width * crop_height != height * crop_width:
            raise UserError(
                f"{dataset.folder}: expected pictures of camera {image.camera!r} or crops {crop_width}:{crop_height}, "
                f"got {width}x{height}; correct the task's image.crop"
            )
        return frame_HW3
    return crop_and_resize(frame_HW3, image)


def read_imagined(path: Path, size: int) -> list[Clip]:
    """The clips of a safetensors file with ``frames`` (N, F, H, W, 3) uint8 and ``success`` (N, F) uint8, 0 or 1."""
    try:
        with safe_open(path, framework="np") as file:
            if set(file.keys()) != {"frames", "success"}:
                raise UserError(f"{path}: expected frames and success, got {sorted(file.keys())[:5]}; write it again")
            frames, success_NF = file.get_slice("frames"), file.get_tensor("success")
            shape = tuple(frames.get_shape())
            wanted = len(shape) == 5 and shape[-1] == 3 and min(shape) > 0 and shape[:2] == success_NF.shape
            if not wanted or frames.get_dtype() != "U8" or success_NF.dtype != np.uint8 or success_NF.max() > 1:
                raise UserError(
                    f"{path}: expected uint8 frames (N, F, H, W, 3) and success (N, F) of 0 and 1, got "
                    f"{frames.get_dtype()} {shape} and {success_NF.dtype} {success_NF.shape}; write it again"
                )
            steps_L = np.arange(shape[1])
            return [
                Clip(
                    f"{path.name} {n}", shrunk(torch.from_numpy(frames[n]), size).numpy(), success_NF[n].astype(bool),
                    steps_L, imagined=True,
                )
                for n in range(shape[0])
            ]  # fmt: skip
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected a safetensors file of clips ({error}); write it again") from None


def held_out_episodes(
    dataset: Dataset, share: float, seed: int, most: int | None = None
) -> tuple[list[int], list[int]]:
    """Positions to train on and to hold out: by the dataset's "val" split, else whole cells, else ``share`` by seed.

    ``most`` bounds how many episodes there are in all.
    """
    rng = np.random.default_rng([seed, 1])
    among = list(range(len(dataset.episodes)))
    if most is not None and most < len(among):
        among = sorted(rng.permutation(among)[:most].tolist())
    cells = sorted({str(dataset.episodes[p].facts.get("cell", "")) for p in among})
    if "val" in (dataset.info.get("splits") or {}):
        held = set(dataset.split("val"))
    elif len(cells) >= CELLS:
        chosen = set(rng.permutation(cells)[: max(1, round(share * len(cells)))].tolist())
        held = {p for p in among if str(dataset.episodes[p].facts.get("cell", "")) in chosen}
    else:
        held = set(choose_validation(dataset, max(share, 1 / max(1, len(among))), seed, among)["val"])
    return [p for p in among if p not in held], [p for p in among if p in held]


def halves(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Held-out clips to calibrate with and to report on: alternately, of each outcome, real and imagined alike."""
    kinds: dict[tuple, list[Clip]] = {}
    for clip in clips:
        kinds.setdefault((clip.imagined, clip.succeeded), []).append(clip)
    return tuple([clip for own in kinds.values() for clip in own[first::2]] for first in (0, 1))
