"""An unseen simulated cell for Prophet's gate: people's demonstrations, policies trained on them, their rollouts.

Everything depends on the cell's seed alone. Dimensions: F frame, K = F - 1 action, S side of a small picture.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from prophrl_core.bundle import BundleManifest, read_bundle
from prophrl_core.cell import load_cell
from prophrl_core.task import load_task
from prophrl_policy.backends import load_policy
from prophrl_policy.export_onnx import write_policy_bundle
from prophrl_policy.normalisation import Statistics
from prophrl_policy.small_policy import SmallPolicy, SmallPolicyConfig
from prophrl_sim.actors import actions_of
from prophrl_sim.env import CellEnv
from prophrl_sim.random_cells import random_cell

from prophrl_training.dataset import ChunkDataset
from prophrl_training.demonstrations import Demonstrations
from prophrl_training.evaluate_policy import LATENCY
from prophrl_training.picture_trunk import shrunk
from prophrl_training.sft import SftConfig, Trainer
from prophrl_training.simulated_episodes import Take, play, play_policy, stage_take

FIRST_CELL = 900_000  # random cells from here on are never trained on
SMALL = 64  # pixels of the pictures that the judge sees


@dataclasses.dataclass(frozen=True)
class Rollout:
    """One episode of a policy: its first picture, all pictures small, and what was commanded."""

    policy: str
    group: int
    first_HW3: np.ndarray
    small_FSS3: np.ndarray
    proprio_FP: np.ndarray
    actions_K7: np.ndarray
    success_F: np.ndarray

    @property
    def succeeded(self) -> bool:
        """Whether the goal was held."""
        return bool(self.success_F.any())


class Job(NamedTuple):
    """One rollout to play: ``steps`` as of ``play_policy``; ``keep`` the take itself."""

    bundle: Path
    scene: int
    noise: int
    steps: int | None = None
    keep: bool = False


class GateCell:
    """The unseen cell that belongs to ``seed``."""

    def __init__(self, task: str, seed: int):
        self.seed = seed
        self.cell, self.task, self.looks = random_cell(load_cell("sim"), load_task(task), FIRST_CELL + seed)

    def environment(self) -> CellEnv:
        """A new environment; close it."""
        return CellEnv(self.cell, self.task, images=False, looks=self.looks)

    def demonstrations(self, wanted: int, folder: Path) -> tuple[list[Take], list[Path]]:
        """People's takes until ``wanted`` have succeeded; failed ones are logged, too. Also as parts of a dataset."""
        env, takes, parts = self.environment(), [], []
        try:
            while sum(take.success[-1] for take in takes) < wanted and len(takes) < 4 * wanted:
                number = len(takes)
                rng = np.random.default_rng([self.seed, 1, number])
                env.reset(seed=int(rng.integers(2**31)))
                takes.append(play(env, actions_of("person", env, rng)))
                parts.append(folder / f"person-{number:04d}")
                stage_take(env, takes[-1], "person", number, parts[-1])
        finally:
            env.close()
        return takes, parts

    def train_policy(self, takes: list[Take], steps: int, folder: Path, report: Callable[[dict], None]) -> Path:
        """A policy of ``steps`` optimiser steps on the successful takes, as a bundle; its folder."""
        out = folder / f"policy-{steps}"
        if (out / "manifest.json").is_file():
            return out
        good = [take for take in takes if take.success[-1]]
        arrays = [
            {"images": np.stack(t.pictures), "proprio": np.array(t.proprio), "actions": np.array(t.actions)}
            for t in good
        ]
        facts = {"task": self.task.name, "instruction": self.task.instruction, "spec_id": self.task.action.id}
        facts |= {"cell": self.cell.name, "attempts": str(len(takes))}
        joined = Demonstrations.joined(arrays, range(len(good)), facts)
        statistics = Statistics.measure(joined.actions_ND, joined.proprio_NP)
        action = self.task.action
        data = ChunkDataset(
            joined, statistics, action.chunk_steps, self.cell.camera(self.task.image.camera), self.task.image
        )
        torch.manual_seed(self.seed)
        size = self.task.image.size
        config = SmallPolicyConfig(image_size=size, action_dim=action.dims, chunk_steps=action.chunk_steps)
        run = SftConfig(steps=steps, seed=self.seed)
        trainer = Trainer(SmallPolicy(config), run, folder / f"sft-{steps}", statistics)
        trainer.run(data, None, report)
        manifest = BundleManifest(
            name=f"{self.task.name}/gate-{steps}", task=self.task.name, instruction=self.task.instruction,
            architecture="small_flow", architecture_config=dataclasses.asdict(config), action=action,
            spec_id=action.id, image=self.task.image, proprioception_dims=config.proprio_dim,
            flow_steps=config.flow_steps, statistics_sha256="", command="prophrl eval prophet --gate", seed=self.seed,
            metrics={}, files={}, created="",
        )  # fmt: skip
        write_policy_bundle(
            out, trainer.averaged_network(), statistics, manifest, joined.images_NSSC[0], joined.proprio_NP[0], {}
        )
        return out

    def rollouts(self, jobs: list[Job], processes: int) -> Iterable[tuple[Rollout, Take | None]]:
        """One rollout a job, in order; the take itself where asked for."""
        if processes == 1:
            _begin(self)
            yield from map(_roll, jobs)
            return
        with multiprocessing.get_context("spawn").Pool(processes, _begin, (self,)) as pool:
            yield from pool.imap(_roll, jobs)


_cell: GateCell | None = None
_env: CellEnv | None = None
_policies: dict[Path, object] = {}


def _begin(cell: GateCell) -> None:
    global _cell, _env
    torch.set_num_threads(1)
    _cell, _env = cell, cell.environment()


def _roll(job: Job) -> tuple[Rollout, Take | None]:
    bundle, scene, noise = job.bundle, job.scene, job.noise
    if bundle not in _policies:
        _policies[bundle] = load_policy(read_bundle(bundle), "onnx")
    policy, rng = _policies[bundle], np.random.default_rng([_cell.seed, 2, scene, noise])

    def infer(observation: dict) -> np.ndarray:
        noise_TD = rng.standard_normal(policy.noise_shape)
        return policy.infer(observation["image"], observation["proprio"], _cell.task.instruction, noise_TD)

    _env.reset(seed=scene)
    take = play_policy(_env, infer, LATENCY, job.steps)
    frames = np.stack(take.pictures)
    rollout = Rollout(
        bundle.name, scene, frames[0], shrunk(torch.from_numpy(frames), SMALL).numpy(),
        np.array(take.proprio, np.float32), np.array(take.actions[:-1]), np.array(take.success, bool),
    )  # fmt: skip
    return rollout, take if job.keep else None
