"""The description of one manipulation task, shared by policy, cell and simulator."""

import dataclasses
import os

from prophrl_core import strict_yaml
from prophrl_core.action import ActionSpec
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError


@dataclasses.dataclass(frozen=True)
class PolicyImage:
    """Which pixels a policy sees: a crop (x, y, width, height) of ``camera``, resized to ``size`` square."""

    camera: str = "front"
    crop: tuple[int, int, int, int] = (80, 0, 480, 480)
    size: int = 128


@dataclasses.dataclass(frozen=True)
class ObjectSpec:
    """One object of a scene and where it may start (base frame; ranges are low, high)."""

    size: tuple[float, ...]  # m, meaning by object kind
    mass: float  # kg
    x: tuple[float, float]  # m
    y: tuple[float, float]  # m
    yaw: tuple[float, float] = (0.0, 0.0)  # rad


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """One task. ``horizon_steps`` ends a trial; ``execute_steps`` of each chunk run before the next look."""

    name: str
    instruction: str
    objects: dict[str, ObjectSpec]
    success: dict[str, float]  # thresholds of the success predicate
    horizon_steps: int = 150
    execute_steps: int = 8
    image: PolicyImage = PolicyImage()
    action: ActionSpec = ActionSpec()

    @property
    def horizon_seconds(self) -> float:
        """Longest trial, s."""
        return self.horizon_steps * self.action.step_period


def load_task(name_or_path: str | os.PathLike) -> TaskSpec:
    """Read and check a task description by name or path; UserError says what is wrong and where."""
    path = find_config("tasks", name_or_path)
    task = strict_yaml.build(TaskSpec, strict_yaml.load(path), path.name)
    if not 1 <= task.execute_steps <= task.action.chunk_steps:
        raise UserError(
            f"{path.name}: execute_steps: expected 1 to {task.action.chunk_steps} (the chunk), got {task.execute_steps}"
        )
    return task
