"""The safety envelope: what a chunk, a path, a command and a measurement may be.

Pure: no clock, no robot. The process that commands motion asks before every chunk, before every move and in
every servo cycle. Three answers exist: a chunk is *refused*, a command is *clamped*, or the arm is *stopped*;
``EnvelopeSpec.stop_on`` turns clamps of the named limits into stops.
"""

import math

import numpy as np
from prophrl_core.action import ActionSpec
from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError
from prophrl_core.ur_kinematics import forward, nearest_inverse

from prophrl_cell.arm.limiter import CartesianBounds, CartesianLimiter, Clamp, JointLimiter, tilt_of

CLAMPED_LIMITS = (
    "workspace", "tilt", "tcp_speed", "tcp_acceleration", "tcp_turn", "tcp_turn_acceleration",
    "joint_limit", "joint_speed", "joint_acceleration",
)  # fmt: skip
STOPPING_LIMITS = ("contact_force", "reach", "following_error", "joint_limit")
_FUTURE = 0.05  # s an observation may seem to come from ahead of now, clocks being read twice
_FOLLOWING_ERROR = 0.35  # rad between a commanded and a measured joint
_OUTSIDE, _TILTED = 1e-3, 1e-2  # m, rad outside that count as inside
_BRANCH_JUMP = 0.3  # rad between neighbouring inverse solutions that is a change of configuration


class Envelope:
    """The envelope of one cell, for actions of one spec."""

    def __init__(self, cell: CellSpec, action: ActionSpec):
        self.spec, self.action = cell.envelope, action
        self.model, self.T_tool0_tcp = cell.robot.kinematics, cell.robot.T_tool0_tcp
        self._T_tcp_tool0 = np.linalg.inv(self.T_tool0_tcp)
        self.box = np.array([self.spec.workspace_min, self.spec.workspace_max])
        low, high = self.model.position_limits
        self.joint_low, self.joint_high = low + self.spec.joint_margin, high - self.spec.joint_margin
        self.joint_speed = np.minimum(self.spec.joint_speed, self.model.max_speed)
        self.joint_acceleration = np.full(6, self.spec.joint_acceleration)
        s = self.spec
        turn = s.tcp_angular_speed * s.tcp_acceleration / s.tcp_speed  # same time to full speed as translation
        self.bounds = CartesianBounds(self.box, s.max_tilt, s.tcp_speed, s.tcp_acceleration, s.tcp_angular_speed, turn)
        self._check_usable(np.array(cell.robot.home))

    def cartesian_limiter(self, T: np.ndarray) -> CartesianLimiter:
        """A limiter of the commanded TCP pose, starting at rest at ``T``."""
        return CartesianLimiter(self.bounds, T)

    def joint_limiter(self, q: np.ndarray) -> JointLimiter:
        """A limiter of the commanded joints, starting at rest at ``q``."""
        return JointLimiter(self.joint_low, self.joint_high, self.joint_speed, self.joint_acceleration, q)

    def tcp(self, q: np.ndarray) -> np.ndarray:
        """T_base_tcp (4, 4) at joints ``q`` (6,)."""
        return forward(self.model, q) @ self.T_tool0_tcp

    def joints(self, T_base_tcp: np.ndarray, q_near: np.ndarray) -> np.ndarray | None:
        """The joints (6,) that reach a TCP pose in the configuration of ``q_near``; None when there are none."""
        q = nearest_inverse(self.model, T_base_tcp @ self._T_tcp_tool0, q_near)
        return None if q is None or np.max(np.abs(q - q_near)) > _BRANCH_JUMP else q

    def check_chunk(
        self, actions_TD: np.ndarray, steps: int, dims: int, step_period: float, spec_id: str, age: float
    ) -> Clamp | None:
        """The reason to refuse a chunk, None when it may run.

        ``steps`` and ``dims`` are what the sender claims; ``actions_TD`` what arrived; ``age`` seconds since
        the observation.
        """
        a = self.action
        if spec_id != a.id:
            return Clamp("spec_id", 0.0, 0.0, "", f"expected actions of spec {a.id}, got {spec_id!r}")
        if dims != a.dims or not 1 <= steps <= a.chunk_steps or actions_TD.shape != (steps, dims):
            return Clamp(
                "chunk_size",
                steps,
                a.chunk_steps,
                "steps",
                f"expected 1 to {a.chunk_steps} steps of {a.dims} values, got {steps} of {dims}",
            )
        if not np.isfinite(actions_TD).all() or not math.isfinite(step_period) or not math.isfinite(age):
            count = int(actions_TD.size - np.isfinite(actions_TD).sum())
            return Clamp("finite", count, 0.0, "values", f"{count} of {actions_TD.size} values are not finite")
        if abs(step_period - a.step_period) > 1e-6:
            return Clamp("step_period", step_period, a.step_period, "s", "the chunk runs at another rate than its spec")
        if not -_FUTURE <= age <= self.spec.max_chunk_age:
            return Clamp("chunk_age", age, self.spec.max_chunk_age, "s", "the observation is too old (or from ahead)")
        far = float(np.max(np.linalg.norm(actions_TD[:, :3], axis=1)))
        if far > a.max_translation * (1 + 1e-5):
            return Clamp("action_magnitude", far, a.max_translation, "m", "a step translates too far")
        turn = float(np.max(np.linalg.norm(actions_TD[:, 3:6], axis=1)))
        if turn > a.max_rotation * (1 + 1e-5):
            return Clamp("action_magnitude", turn, a.max_rotation, "rad", "a step rotates too far")
        low, high = float(actions_TD[:, 6].min()), float(actions_TD[:, 6].max())
        if low < -0.1 or high > 1.1:
            return Clamp("openness", low if low < -0.1 else high, 0.0 if low < -0.1 else 1.0, "", "outside 0 to 1")
        return None

    def stops(self, clamp: Clamp) -> bool:
        """Whether this limit stops the arm instead of clamping the command."""
        return clamp.limit in self.spec.stop_on or clamp.limit in ("reach", "following_error")

    def check_measured(self, q: np.ndarray, force: np.ndarray, q_command: np.ndarray) -> Clamp | None:
        """The reason to stop in what the robot reports: ``q`` (6,) rad, ``force`` (3,) N at the TCP."""
        pressed = math.sqrt(force[0] ** 2 + force[1] ** 2 + force[2] ** 2)
        if not pressed <= self.spec.contact_force:
            return Clamp("contact_force", pressed, self.spec.contact_force, "N", "free the tool, then resume")
        error = float(np.max(np.abs(q - q_command)))
        if not error <= _FOLLOWING_ERROR:
            return Clamp("following_error", error, _FOLLOWING_ERROR, "rad", "the arm is not where it was sent")
        return None

    def beyond(self, T: np.ndarray) -> tuple[float, float]:
        """How far a TCP pose (4, 4) is outside the workspace (m) and tilted too much (rad); negative: inside."""
        outside = float(np.max(np.maximum(self.box[0] - T[:3, 3], T[:3, 3] - self.box[1])))
        return outside, tilt_of(T[:3, :3]) - self.spec.max_tilt

    def check_start(self, T: np.ndarray) -> Clamp | None:
        """The reason not to let a chunk begin at a TCP pose (4, 4): a person brings back what is outside."""
        outside, tilt = self.beyond(T)
        if outside > _OUTSIDE:
            return Clamp("workspace", outside, 0.0, "m", "the tool is outside the workspace; jog it back or go home")
        if tilt > _TILTED:
            return Clamp("tilt", tilt, 0.0, "rad", "the tool is tilted too far; jog it back or send it home")
        return None

    def check_path(self, path_NQ: np.ndarray) -> Clamp | None:
        """The reason not to take a joint path (N, 6): it leaves the box, the cone or the joint limits.

        A path that starts outside may only come back: no point may be further out than the start.
        """
        outside_N, tilt_N = [], []
        for q in path_NQ:
            outside, tilt = self.beyond(self.tcp(q))
            outside_N.append(outside)
            tilt_N.append(tilt + self.spec.max_tilt)
        worst, allowed = max(outside_N), max(0.0, outside_N[0])
        if worst > allowed + _OUTSIDE:
            return Clamp("workspace", worst, allowed, "m", "the way leaves the workspace; move the arm by hand")
        worst, allowed = max(tilt_N), max(self.spec.max_tilt, tilt_N[0])
        if worst > allowed + _TILTED:
            return Clamp("tilt", worst, allowed, "rad", "the way tilts the tool too far; move the arm by hand")
        beyond = float(np.max(np.maximum(self.joint_low - path_NQ, path_NQ - self.joint_high)))
        if beyond > 0.0:
            return Clamp("joint_limit", beyond, 0.0, "rad", "the way comes too near a joint limit")
        return None

    def _check_usable(self, home: np.ndarray) -> None:
        unknown = sorted(set(self.spec.stop_on) - set(CLAMPED_LIMITS) - set(STOPPING_LIMITS))
        if unknown:
            raise UserError(
                f"envelope.stop_on: expected some of {', '.join((*CLAMPED_LIMITS, 'contact_force'))}, got {unknown[0]!r}"
            )
        if (self.joint_low >= self.joint_high).any() or self.spec.joint_margin < 0:
            raise UserError(
                f"envelope.joint_margin: expected 0 to 3 rad, got {self.spec.joint_margin}; fix it"
            )
        T = self.tcp(home)
        outside, tilt = self.beyond(T)
        if outside > 0.0:
            place = ", ".join(f"{v:.3f}" for v in T[:3, 3])
            raise UserError(
                f"envelope: expected robot.home inside the workspace, its TCP ({place}) m is {outside:.3f} m outside; "
                "fix home or workspace_min/max"
            )
        if tilt > 0.0:
            raise UserError(
                f"envelope.max_tilt: expected at least the {tilt + self.spec.max_tilt:.3f} rad that robot.home tilts "
                f"the tool, got {self.spec.max_tilt:.3f}; fix one of them"
            )
        found = self.check_path(home[None])
        if found is not None:
            raise UserError(f"envelope: robot.home is refused: {found.detail} ({found.limit}); fix home or the margin")
