"""Demonstrations from the scripted expert, made imperfect the way people are, in one file without pickle.

N all steps, E episodes, S image size, P proprioception, D action. Each step holds what the policy
saw and the action that was then carried out (commanded, not observed motion: method.md section 1).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec
from prophrl_sim.env import CellEnv
from prophrl_sim.experts import expert_for
from prophrl_sim.imperfection import Imperfections
from prophrl_sim.vector_env import play_episodes

MAX_ATTEMPTS = 3  # scenes tried per demonstration: people throw failed takes away


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """Successful episodes one after another; ``starts_E1[e]`` is the first step of episode e."""

    images_NSSC: np.ndarray  # uint8
    proprio_NP: np.ndarray  # float32, units of prophrl_core.action.proprioception
    actions_ND: np.ndarray  # float32, units of ActionSpec
    starts_E1: np.ndarray  # int64, E + 1 entries
    scene_seeds_E: np.ndarray  # int64
    facts: dict[str, str]  # task, instruction, spec_id, cell, attempts (takes in all)

    @property
    def episodes(self) -> int:
        return len(self.scene_seeds_E)

    @classmethod
    def joined(cls, takes: list[dict], scene_seeds: Sequence[int], facts: dict[str, str]) -> Demonstrations:
        """From the ``images`` (T, S, S, 3), ``proprio`` (T, P) and ``actions`` (T, D) of each episode, in order."""
        return cls(
            images_NSSC=np.concatenate([take["images"] for take in takes]),
            proprio_NP=np.concatenate([take["proprio"] for take in takes]).astype(np.float32),
            actions_ND=np.concatenate([take["actions"] for take in takes]).astype(np.float32),
            starts_E1=np.concatenate([[0], np.cumsum([len(take["actions"]) for take in takes])]).astype(np.int64),
            scene_seeds_E=np.array(scene_seeds, np.int64),
            facts=facts,
        )

    def save(self, path: Path) -> None:
        """Write atomically as .npz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "facts"}
        facts = np.frombuffer(json.dumps(self.facts).encode(), np.uint8)
        unfinished = path.with_name(path.name + ".partial")
        with open(unfinished, "wb") as stream:
            np.savez_compressed(stream, facts=facts, **arrays)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Demonstrations:
        """Read what ``save`` wrote; UserError when it is something else."""
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            with np.load(path, allow_pickle=False) as data:
                if set(data.files) != names:
                    raise ValueError(f"holds {sorted(data.files)}")
                arrays = {name: data[name] for name in data.files}
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: expected a demonstration file ({error}); collect it again") from None
        return cls(**arrays | {"facts": json.loads(arrays["facts"].tobytes())})


def collect(
    task: TaskSpec,
    cell: CellSpec,
    scene_seeds: range,
    imperfections: Imperfections,
    workers: int,
    progress: Callable[[int, int], None],
) -> Demonstrations:
    """One successful demonstration per entry of ``scene_seeds``, by ``workers`` processes.

    A failed take is thrown away and the scene tried again with other imperfections, so the result does
    not depend on the number of workers. ``progress(done, total)`` is called after each.
    """
    takes = []
    for take in play_episodes(partial(demonstrate, imperfections=imperfections), scene_seeds, cell, task, workers):
        takes.append(take)
        progress(len(takes), len(scene_seeds))
    facts = {"task": task.name, "instruction": task.instruction, "spec_id": task.action.id, "cell": cell.name}
    facts["attempts"] = str(sum(take["attempts"] for take in takes))
    return Demonstrations.joined(takes, scene_seeds, facts)


def demonstrate(env: CellEnv, seed: int, imperfections: Imperfections) -> dict:
    """Images, proprioception and actions of one successful take on scene ``seed``, and the attempts it took."""
    for attempt in range(MAX_ATTEMPTS):
        env.reset(seed=seed)
        expert = expert_for(env.task)(env, np.random.default_rng([seed, attempt]), imperfections)
        images, proprio, actions = [], [], []
        while not env.over:
            images.append(env.image())
            proprio.append(env.proprio())
            actions.append(next(expert))
            env.step(actions[-1])
        if env.success:
            stacked = {"images": np.stack(images), "proprio": np.stack(proprio), "actions": np.stack(actions)}
            return stacked | {"attempts": attempt + 1}
    raise UserError(
        f"demonstrations: the expert failed {MAX_ATTEMPTS} times on {env.task.name} scene {seed}; make it steadier"
    )
