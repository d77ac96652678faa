"""The arm behind the ports: joint reference, active motion, tool, safety checks; one ``tick`` per 2 ms."""

from collections import deque
from typing import Protocol

import numpy as np
from prophrl_core import se3, ur_kinematics
from prophrl_core.ur_models import URModel

from prophrl_sim.controller.compliant_motions import Follow
from prophrl_sim.controller.motions import Hold, Motion, MotionFault, Reference, Stop
from prophrl_sim.controller.robot_state import RobotMode, RobotState, RuntimeState
from prophrl_sim.controller.tcp_kinematics import TcpKinematics

PERIOD = 0.002
PROGRAM_END_DECELERATION = 8.0  # rad/s^2
SAFETY_STOP_DECELERATION = 20.0  # rad/s^2
SPEED_MARGIN = 1.3
MAX_DEVIATION = 0.25  # rad between commanded and measured joint
MAX_FORCE = 250.0  # N, held for FORCE_TICKS
FORCE_TICKS = 5
STEADY_SPEED = 0.01  # rad/s
STEADY_TICKS = 100
HISTORY = 500
CONTACT_FORCE = 8.0  # N
CONTACT_LAG = 3  # ticks between touching and noticing


class ArmPlant(Protocol):
    """What the controller moves; ``prophrl_sim.plant.Plant`` or a test's stand-in."""

    q: np.ndarray
    qd: np.ndarray
    tcp_force: np.ndarray
    gripper_opening: float
    gripper_speed: float
    gripper_force: float
    object_detected: bool

    def reset(self, seed: int, q: np.ndarray | None = None) -> None: ...

    def step(self, q_target: np.ndarray | None, gripper_opening: float) -> None: ...


class Arm:
    """Moves the plant. The program sets ``motion``; the safety functions overrule it."""

    def __init__(self, plant: ArmPlant, model: URModel, state: RobotState):
        self.plant, self.model, self.state = plant, model, state
        self.max_speed = np.array(model.max_speed)
        self._ranges = list(zip(*(limits.tolist() for limits in model.position_limits), strict=True))
        self.kinematics = TcpKinematics(model)
        self.reference = Reference(np.array(plant.q, dtype=float), np.zeros(6))
        self.motion: Motion = Hold()
        self.idle = True
        self.payload, self.payload_centre = 0.0, (0.0, 0.0, 0.0)
        self.payload_inertia = (0.0,) * 6
        self.gripper_target = float(plant.gripper_opening)
        self.q_history: deque[np.ndarray] = deque(maxlen=HISTORY)
        self.wrench = np.zeros(6)
        self._force_zero = np.zeros(6)
        self._over_force = 0
        self._still = 0
        self._safety_stop: Stop | None = None
        self._could_move = True

    def start(self, motion: Motion) -> None:
        """Make ``motion`` the active one."""
        self.motion, self.idle = motion, False

    def end_program_motion(self) -> None:
        """A program that ends leaves the arm to decelerate on its own."""
        self.start(Stop.joints(self.reference, PROGRAM_END_DECELERATION))

    @property
    def steady(self) -> bool:
        return self._still >= STEADY_TICKS

    @property
    def external_wrench(self) -> np.ndarray:
        """Wrench of the surroundings on the TCP less the zeroed part (6,), N and Nm, base frame."""
        return self.wrench - self._force_zero

    def zero_force(self) -> None:
        self._force_zero = self.wrench

    def within_limits(self, q: np.ndarray) -> bool:
        return all(low <= value <= high for value, (low, high) in zip(q.tolist(), self._ranges, strict=True))

    def joints_for(self, pose: list[float], q_near: np.ndarray | None = None) -> np.ndarray | None:
        """Joints of a TCP pose given as a UR vector; None when out of reach."""
        near = np.array(self.plant.q) if q_near is None else q_near
        return self.kinematics.joints_for(se3.pose_from_rotvec(np.array(pose)), near)

    @property
    def joint_torques(self) -> list[float]:
        """Torques (6,) Nm that the outside puts on the joints: the TCP wrench through the Jacobian."""
        tcp = self.kinematics.forward(self.plant.q)[:3, 3]
        return (ur_kinematics.jacobian(self.model, self.plant.q, tcp).T @ self.external_wrench).tolist()

    def contact_steps(self, direction: np.ndarray) -> int:
        """Ticks since something began to resist the TCP along ``direction`` (3,) in base; 0 without contact."""
        norm = float(np.linalg.norm(direction))
        resistance = -self.external_wrench[:3] @ direction / norm if norm > 0.0 else 0.0
        return CONTACT_LAG if resistance > CONTACT_FORCE else 0

    def joints_ago(self, steps: int) -> np.ndarray:
        """Measured joints (6,) ``steps`` ticks ago, at most the length of the history."""
        if not self.q_history:
            return np.array(self.plant.q)
        return self.q_history[-1 - min(max(steps, 0), len(self.q_history) - 1)]

    def rebase(self) -> None:
        """The plant was set to another configuration from outside: start again from there, at rest."""
        self.reference.q, self.reference.qd = np.array(self.plant.q, dtype=float), np.zeros(6)
        self.start(Hold())

    def place_objects(self, seed: int) -> None:
        """A new scene from ``seed``; the arm stays where it is, the gripper goes where it was told to."""
        self.plant.reset(seed, np.array(self.plant.q))

    def tick(self) -> None:
        """One 2 ms cycle: reference, checks, plant."""
        can_move = self.state.can_move
        if can_move:
            if not self._could_move:
                self.rebase()
            self._move()
        else:
            self._stop_for_safety()
        self._could_move = can_move
        floating = can_move and isinstance(self.motion, Follow)
        self.plant.step(None if floating else self.reference.q, self.gripper_target)
        self.wrench = np.asarray(self.plant.tcp_force, dtype=float)
        if self.state.can_move:
            self._watch()
        self.q_history.append(np.array(self.plant.q))
        self._still = self._still + 1 if np.max(np.abs(self.plant.qd)) < STEADY_SPEED and self.reference.at_rest else 0

    def _move(self) -> None:
        scale = self.state.speed_slider
        if self.state.runtime in (RuntimeState.PAUSED, RuntimeState.PAUSING):
            scale = 0.0
        before = self.reference.q
        try:
            self.idle = self.motion.step(self.reference, PERIOD * scale)
            if not self.within_limits(self.reference.q):
                raise MotionFault("a joint reached the end of its range")
        except MotionFault as fault:
            self.reference.q, self.reference.qd = before, np.zeros(6)
            self.state.protective_stop(str(fault))
            return
        jump = np.abs(self.reference.q - before) / PERIOD
        if isinstance(self.motion, Follow):
            return
        if not np.all(jump <= SPEED_MARGIN * self.max_speed):
            joint = int(np.argmax(np.nan_to_num(jump / self.max_speed, nan=np.inf)))
            self.reference.q, self.reference.qd = before, np.zeros(6)
            self.state.protective_stop(f"sudden change in target position of joint {joint}")

    def _stop_for_safety(self) -> None:
        if self._could_move:
            brakes = self.state.mode is not RobotMode.RUNNING
            self._safety_stop = None if brakes else Stop.joints(self.reference, SAFETY_STOP_DECELERATION)
            self.motion, self.idle = Hold(), True
        if self._safety_stop is None:
            self.reference.qd = np.zeros(6)
        elif self._safety_stop.step(self.reference, PERIOD):
            self._safety_stop = None

    def _watch(self) -> None:
        deviation = np.abs(self.reference.q - self.plant.q)
        if np.max(deviation) > MAX_DEVIATION and not isinstance(self.motion, Follow):
            self.state.protective_stop(f"joint {int(np.argmax(deviation))} deviates from its target")
        force = self.wrench[:3]
        self._over_force = self._over_force + 1 if float(force @ force) > MAX_FORCE**2 else 0
        if self._over_force >= FORCE_TICKS:
            self.state.protective_stop(f"force of {float(np.sqrt(force @ force)):.0f} N at the tool")
