"""A folder of weights, checked for a cell and a task, as something that foretells one chunk at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from prophrl_core.camera import CameraModel
from prophrl_core.cell import CameraSpec
from prophrl_core.errors import UserError
from prophrl_core.task import PolicyImage, TaskSpec

from prophrl_world_model import checkpoints
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.imagination import ImaginationEnv, View
from prophrl_world_model.sampler import for_steps


def check_fits(config: ProphetConfig, task: TaskSpec, camera: CameraSpec, source: Path) -> None:
    """UserError, one line, when a Prophet cannot foretell chunks of ``task`` as ``camera`` would see them."""
    x, y, width, height = task.image.crop
    for what, expected, got in (
        ("rate", f"{task.action.rate_hz:g} Hz", f"{config.rate_hz:g} Hz"),
        ("square frames", f"{config.width}x{config.width}", f"{config.width}x{config.height}"),
    ):
        if expected != got:
            raise UserError(
                f"{source}: expected {what} {expected} for task {task.name}, got {got}; use a Prophet trained for it"
            )
    if not task.execute_steps <= config.chunk_steps <= task.action.chunk_steps:
        raise UserError(
            f"{source}: expected a chunk of {task.execute_steps} steps, which {task.name} carries out, to "
            f"{task.action.chunk_steps}, which its policies plan, got {config.chunk_steps}; use a Prophet trained for it"
        )
    if x < 0 or y < 0 or x + width > camera.width or y + height > camera.height:
        raise UserError(
            f"camera {camera.name}: expected {x + width}x{y + height} pixels or more for the crop of {task.name}, got "
            f"{camera.width}x{camera.height}; correct the task's image.crop or the cell"
        )
    if camera.T_tool0_camera is not None:
        raise UserError(
            f"camera {camera.name}: expected a camera that stands still, it is on the tool; choose another in the "
            "task's image.camera"
        )


class ChunkImagination:
    """Prophet behind one camera: a picture and a chunk in, the pictures that would follow out."""

    def __init__(self, weights: Path, task: TaskSpec, camera: CameraSpec, sampler_steps: int, device: str = "cpu"):
        """UserError, one line, when weights, task, camera, sampler and device do not go together."""
        usable = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
        if device not in usable:
            raise UserError(f"device: expected {' or '.join(usable)} on this machine, got {device!r}; leave it out")
        model, autoencoder = checkpoints.load(weights)
        check_fits(model.prophet, task, camera, weights)
        model, autoencoder = model.float().to(device), autoencoder.float().to(device)
        sampler = for_steps(sampler_steps, model.prophet)
        self._crop, self._T_base_camera = task.image.crop, camera.pose
        view = self._view(model.prophet, camera.measured_model or camera.model)
        self._env = ImaginationEnv(model, autoencoder, view, sampler, batch=1)
        self._image = dataclasses.replace(task.image, size=model.prophet.width)

    @property
    def config(self) -> ProphetConfig:
        return self._env.model.prophet

    @property
    def image(self) -> PolicyImage:
        """How a camera's picture is cut for it."""
        return self._image

    @property
    def past_clips(self) -> int:
        """How many whole chunks its memory holds, begun ones included."""
        config = self.config
        return 0 if config.history_order == "none" else -(-config.history_frames // config.latent_frames)

    def _view(self, config: ProphetConfig, camera: CameraModel) -> View:
        return View(camera.cropped(*self._crop).scaled(config.width, config.height), self._T_base_camera)

    def look_through(self, camera: CameraModel) -> None:
        """Use these intrinsics, of the whole picture, from the next chunk on."""
        self._env.view = self._view(self.config, camera)

    def __call__(
        self, picture_HW3: np.ndarray, T_base_tcp: np.ndarray, openness: float, actions_K7: np.ndarray,
        past: list[np.ndarray], seed: int,
    ) -> np.ndarray:  # fmt: skip
        """Frames (K, H, W, 3) uint8 after each action; ``past`` are real clips (1 + K, H, W, 3), oldest first."""
        env = self._env
        env.reset(picture_HW3[None], T_base_tcp[None], np.array([openness]), [seed], [clip[None] for clip in past])
        return env.step(actions_K7[None]).frames_NKHW3[0]
