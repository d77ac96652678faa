"""An episode of noise for Prophet: right shapes, right poses, nothing to see."""

import dataclasses

import numpy as np
from prophrl_core import action, se3
from prophrl_core.camera import CameraModel
from prophrl_training.prophet_clips import ProphetEpisode
from prophrl_world_model.imagination import View

VIEW = View(
    CameraModel(48, 32, 40.0, 40.0, 23.5, 15.5), se3.pose_from_rotvec(np.array([0.0, 0.0, 0.8, np.pi, 0.0, 0.0]))
)


def episode(steps=20, seed=0, **changes):
    rng = np.random.default_rng(seed)
    actions = rng.normal(scale=0.02, size=(steps, 7))
    actions[:, 6] = rng.random(steps)
    poses, openness = action.integrate(np.eye(4), actions)
    made = ProphetEpisode(
        "e", rng.integers(0, 256, (steps + 1, 32, 48, 3), dtype=np.uint8), np.concatenate([np.eye(4)[None], poses]),
        np.append(1.0, openness), actions, VIEW, 10.0,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)
