"""Episodes of many simulated cells as parts of a LeRobot dataset, with the truth beside them, for a world model.

Row t is the picture and the commanded pose before action t. The truth is the simulator's: poses of the objects,
whether the gripper touches something, and whether the goal has been held by then.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from prophrl_core import action, se3
from prophrl_core.cell import CellSpec
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import TaskSpec
from prophrl_sim.actors import ACTORS, actions_of
from prophrl_sim.env import CellEnv
from prophrl_sim.random_cells import CellRange, random_cell

from prophrl_training.datasets import statistics
from prophrl_training.datasets.conversion import IMAGE_PREFIX, TCP_NAMES
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.parts import PART_NAME, write_part
from prophrl_training.datasets.staging import end_with
from prophrl_training.datasets.video_writer import VideoSettings, encode
from prophrl_training.truth_columns import CAMERA_FACT, TRUTH_CONTACT, TRUTH_OBJECTS, TRUTH_SUCCESS

TAIL_STEPS = 6  # recorded after the goal has been held
STOPPED_STEPS = 8  # after a contact stop: the action goes on, the arm does not
MOST_OF_HORIZON = 0.75  # of the task's horizon: who has not done it by then rarely does
VIDEO = VideoSettings(crf=14)


@dataclasses.dataclass(frozen=True)
class SimulatedSource:
    """``cells`` random cells with ``each`` episodes; cell c is random cell ``seed + c``. 0 cells: the given one."""

    cell: CellSpec
    task: TaskSpec
    cells: int
    each: int
    seed: int

    @property
    def digest(self) -> str:
        """Changes with everything that decides what is played."""
        fixed = [ACTORS, dataclasses.asdict(CellRange()), dataclasses.asdict(VIDEO)]
        facts = [dataclasses.asdict(self), TAIL_STEPS, STOPPED_STEPS, MOST_OF_HORIZON, *fixed]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def jobs(self) -> range:
        """One number a cell."""
        return range(max(1, self.cells))


def stage_cell(job: int, source: SimulatedSource, folder: Path) -> list[Path]:
    """Play and write the episodes of one cell, unless they are there; their folders."""
    parts = [folder / f"{job:05d}-{number:04d}" for number in range(source.each)]
    if all((part / PART_NAME).is_file() for part in parts):
        return parts
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    looks = {}
    cell, task = source.cell, source.task
    if source.cells:
        cell, task, looks["looks"] = random_cell(cell, task, source.seed + job)
    env = CellEnv(cell, task, images=False, **looks)
    try:
        for number, part in enumerate(parts):
            if not (part / PART_NAME).is_file():
                _stage(env, job, number, source.seed, part)
    finally:
        env.close()
    return parts


def camera_facts(env: CellEnv) -> dict[str, object]:
    """The camera of the pictures as they are stored, cropped and resized."""
    camera, image = env.cell.camera(env.task.image.camera), env.task.image
    k = camera.model.cropped(*image.crop).scaled(image.size, image.size)
    return dataclasses.asdict(k) | {"T_base_camera": list(camera.T_base_camera)}


@dataclasses.dataclass
class Take:
    """What one episode gathers, row by row; the action of a row leads to the next."""

    pictures: list = dataclasses.field(default_factory=list)
    proprio: list = dataclasses.field(default_factory=list)
    actions: list = dataclasses.field(default_factory=list)
    objects: list = dataclasses.field(default_factory=list)
    contact: list = dataclasses.field(default_factory=list)
    success: list = dataclasses.field(default_factory=list)

    def see(self, env: CellEnv, proprio: np.ndarray) -> None:
        """Add what there is to see now; an arm that a contact has stopped is not drawn again."""
        frozen = self.contact and self.contact[-1][1]
        self.pictures.append(self.pictures[-1] if frozen else crop_and_resize(env.render(), env.task.image))
        self.proprio.append(proprio)
        self.objects.append(np.concatenate([action.proprioception(T, 0.0)[:9] for T in env.truth().values()]))
        self.contact.append([float(env.plant.touching()), float(env.motion.contact_stop)])
        self.success.append(env.success or (bool(self.success) and self.success[-1]))


def play(env: CellEnv, actions: Iterator[np.ndarray]) -> Take:
    """Play one episode of single actions after a reset to its end, and a little further."""
    take, tail = Take(), TAIL_STEPS
    most = round(MOST_OF_HORIZON * env.task.horizon_steps)
    while env.steps < most and not env.motion.contact_stop and tail:
        tail -= env.success
        act = env.permitted(next(actions)[None])[0]
        take.see(env, env.proprio())
        take.actions.append(act)
        env.step(act)
    if env.motion.contact_stop:
        T, openness = env.commanded_pose.copy(), float(act[6])
        for _ in range(STOPPED_STEPS):
            take.see(env, action.proprioception(T, openness))
            take.actions.append(act)
            T = T @ se3.pose_from_rotvec(act[:6])
    return take


def play_policy(
    env: CellEnv, infer: Callable[[dict], np.ndarray], latency: float, steps: int | None = None
) -> Take:
    """Play one episode of a chunk policy after a reset; actions are what was carried out, as recordings have them.

    ``infer`` maps an observation (``image``, ``proprio``) to a chunk (T, 7). With ``steps`` exactly so many are played:
    beyond success, and beyond a contact stop with an arm that no longer follows, as a policy would go on in a dream.
    The length then says nothing of the outcome.
    """
    take, poses = Take(), []
    most = env.task.horizon_steps if steps is None else steps

    def see() -> None:
        take.see(env, env.proprio())
        poses.append((env.commanded_pose.copy(), float(env.proprio()[9])))

    see()
    while len(poses) <= most and (steps is not None or not env.over):
        chunk_TD = infer({"image": take.pictures[-1], "proprio": take.proprio[-1].astype(np.float32)})
        wanted = min(env.task.execute_steps, most + 1 - len(poses))
        if not env.motion.contact_stop:
            env.advance(chunk_TD, wanted, latency, see, beyond=steps is not None)
            continue
        for T, openness in zip(*action.integrate(poses[-1][0], env.permitted(chunk_TD)[:wanted]), strict=True):
            take.see(env, action.proprioception(T, openness))
            poses.append((T, float(openness)))
    done = [action.delta(before, after, openness) for (before, _), (after, openness) in pairwise(poses)]
    take.actions = [*done, action.delta(poses[-1][0], poses[-1][0], poses[-1][1])]
    return take


def _stage(env: CellEnv, job: int, number: int, seed: int, folder: Path) -> None:
    rng = np.random.default_rng([seed, job, number])
    actor = str(rng.choice(list(ACTORS), p=list(ACTORS.values())))
    env.reset(seed=int(rng.integers(2**31)))
    stage_take(env, play(env, actions_of(actor, env, rng)), actor, number, folder)


def stage_take(env: CellEnv, take: Take, actor: str, number: int, folder: Path) -> None:
    """Write an episode that has just been played in ``env`` as a part of a dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    key = IMAGE_PREFIX + env.task.image.camera
    encode(folder / f"{key}.mp4", take.pictures, round(env.task.action.rate_hz), VIDEO)
    columns = {
        "observation.proprio": np.array(take.proprio, np.float32),
        "action": np.array(take.actions, np.float32),
        TRUTH_OBJECTS: np.array(take.objects, np.float32),
        TRUTH_CONTACT: np.array(take.contact, np.float32),
        TRUTH_SUCCESS: np.array(take.success, bool),
    }
    stats = {name: statistics.of_column(values) for name, values in columns.items()}
    sampled = statistics.sampled_steps(len(take.pictures))[::4]
    stats[key] = statistics.of_pictures(np.stack([take.pictures[i] for i in sampled]))
    success = bool(take.success[-1])
    reason = "" if success else "contact stop" if env.motion.contact_stop else "horizon"
    facts = {
        "episode_id": f"{env.cell.name}-{env.task.name}-{number:04d}", "outcome": "success" if success else "failure",
        "reason": reason, "seed": env.seed_in_use, "actor": actor, "cell": env.cell.name,
        CAMERA_FACT: json.dumps(camera_facts(env)),
    }  # fmt: skip
    write_part(folder, columns, env.task.instruction, stats, facts, features(env))


def features(env: CellEnv) -> dict[str, Feature]:
    """The dataset's features."""
    names = [f"{name}_{axis}" for name in env.truth() for axis in TCP_NAMES[:9]]
    size = env.task.image.size
    listed = [
        Feature("observation.proprio", "float32", (len(TCP_NAMES),), TCP_NAMES),
        Feature("action", "float32", (action.ACTION_DIMS,), action.ACTION_NAMES),
        Feature(TRUTH_OBJECTS, "float32", (len(names),), tuple(names)),
        Feature(TRUTH_CONTACT, "float32", (2,), ("touching", "contact_stop")),
        Feature(TRUTH_SUCCESS, "bool", (1,), ("success",)),
        Feature(IMAGE_PREFIX + env.task.image.camera, "video", (size, size, 3)),
    ]
    return {feature.name: feature for feature in listed}


def source_facts(source: SimulatedSource) -> dict:
    """What the dataset says of itself, as converted ones do."""
    return {
        "version": 1, "task": source.task.name, "spec_id": source.task.action.id,
        "action_spec": dataclasses.asdict(source.task.action), "cameras": [source.task.image.camera],
        "simulated": {"cells": source.cells, "each": source.each, "seed": source.seed},
    }  # fmt: skip


def staged(source: SimulatedSource, folder: Path, workers: int) -> Iterator[list[Path]]:
    """``stage_cell`` of every cell, in order; the result does not depend on the number of processes."""
    stage = functools.partial(stage_cell, source=source, folder=folder)
    workers = min(workers or os.cpu_count() or 1, len(source.jobs()))
    if workers == 1:
        yield from map(stage, source.jobs())
        return
    with multiprocessing.get_context("spawn").Pool(workers, end_with, (os.getpid(),)) as pool:
        yield from pool.imap(stage, source.jobs())
