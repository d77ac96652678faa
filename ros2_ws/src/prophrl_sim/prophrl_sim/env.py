"""The cell as a Gymnasium environment: the same scene, reference motion and controller dynamics as on the wire.

Two ways to act: ``step`` takes one 10 Hz action; ``advance`` takes a policy's chunk with the latency it
would have on the wire. Pictures are drawn only when asked for.
"""

from typing import Callable

import gymnasium
import numpy as np
from prophrl_core import action, se3
from prophrl_core.cell import CellSpec
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import TaskSpec

from prophrl_sim import scene as scene_module
from prophrl_sim.appearance import Looks
from prophrl_sim.motion import Motion
from prophrl_sim.plant import Plant
from prophrl_sim.render import Renderer


class CellEnv(gymnasium.Env):
    """One cell and task.

    Action (7,): core's action step at the task's rate. Observation: ``proprio`` (10,) from the commanded
    pose and, with ``images=True``, ``image`` (S, S, 3) uint8 as the policy sees it. Reward 1 when the
    task's goal has been held, which ends the episode; so does a contact force beyond the cell's envelope,
    as on the wire, without reward. ``horizon_steps`` truncates it.
    """

    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(self, cell: CellSpec, task: TaskSpec, images: bool = True, looks: Looks = Looks()):
        self.cell, self.task, self.images = cell, task, images
        self.plant = Plant(scene_module.build(cell, task, looks))
        self.motion = Motion(self.plant)
        self._renderer: Renderer | None = None
        self._step_period = task.action.step_period
        limit = np.array([task.action.max_translation] * 3 + [task.action.max_rotation] * 3 + [1.0])
        self.action_space = gymnasium.spaces.Box(np.append(-limit[:6], 0.0), limit, dtype=np.float64)
        spaces = {"proprio": gymnasium.spaces.Box(-np.inf, np.inf, (10,))}
        if images:
            spaces["image"] = gymnasium.spaces.Box(0, 255, (task.image.size, task.image.size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Start the trial that belongs to ``seed`` (drawn from the last one when None)."""
        super().reset(seed=seed)
        self.seed_in_use = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        self.plant.reset(self.seed_in_use)
        self.motion.reset()
        self.steps = 0
        self._waypoint, self._openness = self.motion.commanded()
        return self.observe(), self._info()

    def step(self, action_D: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """One action (7,) for one step period; see the class. Raises ValueError on NaN or a wrong shape."""
        action_D = self.permitted(np.asarray(action_D)[None])[0]
        if self.motion.contact_stop:
            raise RuntimeError("the trial ended in a contact stop; reset the environment")
        now = self.motion.time
        # The action is announced for two steps, so that the reference passes the waypoint without stopping.
        self.motion.take(self._waypoint, np.stack([action_D, action_D]), self._step_period)
        self.motion.run_until(now + self._step_period)
        self._waypoint = self._waypoint @ se3.pose_from_rotvec(action_D[:6])
        self._openness = action_D[6]
        self.steps += 1
        success, stopped = self.success, self.motion.contact_stop
        return self.observe(), float(success), success or stopped, self.over and not (success or stopped), self._info()

    def advance(
        self,
        chunk_TD: np.ndarray,
        steps: int,
        latency: float = 0.0,
        watch: Callable[[], None] = lambda: None,
        beyond: bool = False,
    ) -> dict:
        """Run ``steps`` step periods with a chunk (T, 7) planned from the present observation; returns the info.

        It takes effect ``latency`` s from now; until then what was in force goes on, and the chunk's
        actions of that time are dropped. Stops early, at a step's end, when the trial is over (with
        ``beyond`` only when a contact stopped the arm). Draws nothing; ``watch()`` is called after each step.
        """
        chunk_TD = self.permitted(chunk_TD)
        observed = self.motion.time
        self.motion.run_until(observed + latency)
        self.motion.accept(chunk_TD, self._step_period, observed)
        for i in range(steps):
            self.motion.run_until(observed + (i + 1) * self._step_period)
            self.steps += 1
            self._waypoint, self._openness = self.motion.commanded()
            watch()
            if self.motion.contact_stop or (self.over and not beyond):
                break
        return self._info()

    @property
    def success(self) -> bool:
        """The goal has been held, without a contact stop on the way."""
        return self.plant.success() and not self.motion.contact_stop

    @property
    def over(self) -> bool:
        """The goal has been held, the envelope has stopped the arm, or the horizon is reached."""
        return self.success or self.motion.contact_stop or self.steps >= self.task.horizon_steps

    def observe(self) -> dict[str, np.ndarray]:
        """The present observation (draws the picture when the environment has images)."""
        out = {"proprio": self.proprio().astype(np.float32)}
        if self.images:
            out["image"] = self.image()
        return out

    def proprio(self) -> np.ndarray:
        """Commanded state (10,), integrable from actions."""
        return action.proprioception(self._waypoint, self._openness)

    @property
    def commanded_pose(self) -> np.ndarray:
        """T_base_tcp (4, 4) the next action starts from."""
        return self._waypoint

    def image(self) -> np.ndarray:
        """What the policy's camera shows, cropped and resized, (S, S, 3) uint8."""
        return crop_and_resize(self.render(), self.task.image)

    def render(self) -> np.ndarray:
        """The policy's camera at full size, (H, W, 3) uint8."""
        if self._renderer is None:
            self._renderer = Renderer(self.plant.scene)
        return self._renderer.colour(self.task.image.camera)

    def truth(self) -> dict[str, np.ndarray]:
        """True poses T_base_object (4, 4); for experts and labels, never for a policy."""
        return self.plant.objects()

    def close(self) -> None:
        """Free the GL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _info(self) -> dict:
        return {
            "success": self.success, "contact_stop": self.motion.contact_stop, "time": self.plant.time,
            "seed": self.seed_in_use, "steps": self.steps,
        }  # fmt: skip

    def permitted(self, actions_TD: np.ndarray) -> np.ndarray:
        """Actions (T, 7) shortened to what a step may do, which is what is carried out; ValueError on other shapes."""
        actions_TD = np.asarray(actions_TD, dtype=float)
        if actions_TD.ndim != 2 or actions_TD.shape[1] != action.ACTION_DIMS or not np.isfinite(actions_TD).all():
            raise ValueError(f"expected finite actions (T, {action.ACTION_DIMS}), got shape {actions_TD.shape}")
        spec = self.task.action
        out = actions_TD.copy()
        for part, limit in ((slice(0, 3), spec.max_translation), (slice(3, 6), spec.max_rotation)):
            size = np.linalg.norm(out[:, part], axis=1, keepdims=True)
            out[:, part] *= np.minimum(1.0, limit / np.maximum(size, 1e-12))
        out[:, 6] = np.clip(out[:, 6], 0.0, 1.0)
        return out


def run_policy_episode(
    env: CellEnv, infer: Callable[[dict], np.ndarray], seed: int, latency: float = 0.1,
    watch: Callable[[CellEnv, np.ndarray], None] | None = None,
) -> dict:
    """One trial of a chunk policy: look, infer, run ``task.execute_steps`` steps, look again.

    ``infer`` maps ``env.observe()`` to a chunk (T, 7). ``watch(env, chunk)`` is called before each chunk
    runs. Returns the last ``info``: success, time (s), steps, seed.
    """
    env.reset(seed=seed)
    while not env.over:
        chunk_TD = infer(env.observe())
        if watch is not None:
            watch(env, chunk_TD)
        info = env.advance(chunk_TD, env.task.execute_steps, latency)
    return info
