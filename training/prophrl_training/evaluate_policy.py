"""Success of a bundle in the fast environment, on scenes that nothing was trained or tuned on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from prophrl_core.bundle import read_bundle
from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec
from prophrl_policy.backends import ChunkPolicy, load_policy
from prophrl_sim.env import CellEnv, run_policy_episode
from prophrl_sim.vector_env import play_episodes

LATENCY = 0.1  # s from observation to the chunk in force; the running cell measures less


@dataclass(frozen=True)
class Trial:
    """One scene and how it went; ``steps`` control steps of the task's rate."""

    seed: int
    success: bool
    steps: int


def evaluate(
    bundle_path: Path,
    task: TaskSpec,
    cell: CellSpec,
    scene_seeds: range,
    backend: str = "onnx",
    latency: float = LATENCY,
    workers: int = 0,
    progress: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """One trial per scene seed, each with noise drawn from its seed, so the order and workers do not matter.

    Raises UserError when the bundle does not fit the task.
    """
    bundle = read_bundle(bundle_path, action=task.action)
    if bundle.manifest.image != task.image:
        raise UserError(
            f"{bundle_path}: expected the image {task.image} of task {task.name}, "
            f"the bundle was trained on {bundle.manifest.image}; use a policy trained for this task"
        )
    load_policy(bundle, backend).check_smoke()
    play = partial(play_trial, bundle_path=bundle_path, backend=backend, latency=latency)
    trials = []
    for trial in play_episodes(play, scene_seeds, cell, task, workers, images=True):
        trials.append(trial)
        progress(trial)
    return trials


_policies: dict[tuple[Path, str], ChunkPolicy] = {}


def play_trial(env: CellEnv, seed: int, bundle_path: Path, backend: str, latency: float) -> Trial:
    """One trial of the bundle (loaded once per process) on scene ``seed``."""
    if (bundle_path, backend) not in _policies:
        _policies[bundle_path, backend] = load_policy(read_bundle(bundle_path), backend)
    policy = _policies[bundle_path, backend]
    rng = np.random.default_rng(seed)

    def infer(observation: dict) -> np.ndarray:
        noise_TD = rng.standard_normal(policy.noise_shape)
        return policy.infer(observation["image"], observation["proprio"], env.task.instruction, noise_TD)

    info = run_policy_episode(env, infer, seed, latency)
    return Trial(seed, bool(info["success"]), int(info["steps"]))
