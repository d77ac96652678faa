"""What a task adds to the cell's scene: objects, their placement from a seed, and the success predicate."""

import abc

import mujoco
import numpy as np
from prophrl_core import se3
from prophrl_core.task import TaskSpec


class TaskScene(abc.ABC):
    """One task's part of a scene. Positions are metres in the base frame (the world's origin)."""

    integrator = "implicitfast"
    objects: tuple[str, ...] = ()  # bodies the expert may know about
    colours = ("0.15 0.45 0.28", "0.90 0.90 0.86", "0.80 0.20 0.20")  # of object_main, _second and _third
    opening = 1.0  # m, the gripper's, as last told by ``advance``

    def __init__(self, task: TaskSpec):
        self.task = task

    @abc.abstractmethod
    def bodies(self) -> str:
        """MJCF of the task's bodies, inside worldbody."""

    def sections(self) -> str:
        """MJCF of the task's assets, equalities and the like, beside worldbody."""
        return ""

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Remember the compiled model; called once."""
        self.model, self.data = model, data

    @abc.abstractmethod
    def place(self, rng: np.random.Generator) -> None:
        """Write the objects' start poses and physical variation into the model and data."""

    def settle(self) -> None:
        """Bring what is soft to rest after ``place``; nothing to do for rigid tasks."""

    def advance(self, opening: float, tcp_position: np.ndarray) -> None:
        """Called every 10 ms of simulated time with the gripper's opening (m) and the TCP's position (3,)."""
        self.opening = opening

    @abc.abstractmethod
    def satisfied(self) -> bool:
        """Whether the goal holds at this instant (holding it is the plant's business)."""

    def placed_at_random(self, rng: np.random.Generator, name: str) -> np.ndarray:
        """(x, y, yaw) drawn from the task's placement range for object ``name``."""
        p = self.task.objects[name]
        return np.array([rng.uniform(*p.x), rng.uniform(*p.y), rng.uniform(*p.yaw)])

    def set_free_body(self, name: str, position, yaw: float) -> None:
        """Put a free body at rest at ``position`` (3,) turned by ``yaw`` rad."""
        start = self.model.joint(f"{name}_free").qposadr[0]
        self.data.qpos[start : start + 3] = position
        self.data.qpos[start + 3 : start + 7] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]

    def set_fixed_body(self, name: str, position, yaw: float) -> None:
        """Move a body without joints."""
        body = self.model.body(name).id
        self.model.body_pos[body] = position
        self.model.body_quat[body] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]

    def speed(self, name: str) -> float:
        """Speed of a free body's origin, m/s."""
        start = self.model.joint(f"{name}_free").dofadr[0]
        return float(np.linalg.norm(self.data.qvel[start : start + 3]))

    def horizontal_distance(self, a: str, b: str) -> float:
        """Between the origins of two bodies, m."""
        return float(np.linalg.norm((self.data.body(a).xpos - self.data.body(b).xpos)[:2]))

    def pose(self, body: str) -> np.ndarray:
        """True pose T_base_body (4, 4)."""
        b = self.data.body(body)
        return se3.transform(b.xmat.reshape(3, 3), b.xpos)

    def truth(self) -> dict[str, np.ndarray]:
        """True poses (4, 4) of what the task is about."""
        return {name: self.pose(name) for name in self.objects}
