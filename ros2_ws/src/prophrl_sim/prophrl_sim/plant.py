"""The physics of the cell, one 2 ms step at a time: the arm's joint servos, the gripper, the objects.

Whoever drives it (the emulated controller on the wire, or the fast environment) gives a joint reference
and a gripper opening per step and reads back what sensors would say.
"""

import math

import mujoco
import numpy as np

from prophrl_sim.scene import PHYSICS_PERIOD, Scene

_SLOW_STEPS = 5  # grip detection and the task's predicate run every 10 ms
_FREEDRIVE_DAMPING = np.array([12.0, 12.0, 8.0, 3.0, 3.0, 3.0])  # Nm s/rad
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


def gripper_speed(fraction: float) -> float:
    """Finger speed (m/s) of a 2F-85 at a speed setting of 0..1."""
    return 0.02 + 0.13 * min(max(fraction, 0.0), 1.0)


def gripper_force(fraction: float) -> float:
    """Grip force (N) of a 2F-85 at a force setting of 0..1."""
    return 20.0 + 215.0 * min(max(fraction, 0.0), 1.0)


class Plant:
    """``scene`` in motion. ``gripper_speed`` (m/s) and ``gripper_force`` (N) may be set at any time."""

    period = PHYSICS_PERIOD

    def __init__(self, scene: Scene):
        self.scene = scene
        self.model, self.data = scene.model, scene.data
        m, d = scene.model, scene.data
        self._arm_q, self._arm_qd = d.qpos[scene.arm_qpos], d.qvel[scene.arm_dofs]
        self._arm_ctrl = d.ctrl[scene.arm_actuators]
        self._finger_q, self._finger_qd = d.qpos[scene.finger_qpos], d.qvel[scene.finger_dofs]
        self._stiffness = m.actuator_gainprm[scene.arm_actuators, 0].copy()
        self._damping = -m.actuator_biasprm[scene.arm_actuators, 2].copy()
        self._task = scene.task_scene
        self._state_size = mujoco.mj_stateSize(m, _STATE)
        self._tool_body = m.body("gripper").id
        self._tcp_site = m.site("tcp").id
        self.gripper_speed = gripper_speed(scene.cell.gripper.speed)
        self.gripper_force = gripper_force(scene.cell.gripper.force)
        self.reset(0)

    def reset(self, seed: int, q: np.ndarray | None = None) -> None:
        """Start a trial: gripper open, objects placed from ``seed``, arm at rest at ``q`` (6,) (default: home)."""
        self.scene.reset(seed)
        if q is not None:
            self._arm_q[:] = self._arm_ctrl[:] = q
            mujoco.mj_forward(self.model, self.data)
        self._q_reference = self.q
        self._qd_reference = np.zeros(6)
        self._opening_reference = self.scene.stroke
        self.steps = 0  # physics steps since the reset
        self._satisfied_since = math.inf
        self._blocked_for = 0.0
        self._fit_lead()

    def _fit_lead(self) -> None:
        """Feed-forward gains at the present pose, in servo set-point per rad/s and (6, 6) per rad/s^2."""
        inertia = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, self.data, inertia)
        dofs = self.scene.arm_dofs
        self._lead_speed = (self._damping + self.model.dof_damping[dofs]) / self._stiffness
        self._lead_acceleration = inertia[dofs, dofs] / self._stiffness[:, None]

    @property
    def gripper_force(self) -> float:
        """Largest force of each finger, N."""
        return float(self.model.actuator_forcerange[self.scene.gripper_actuator, 1])

    @gripper_force.setter
    def gripper_force(self, force: float) -> None:
        self.model.actuator_forcerange[self.scene.gripper_actuator] = (-force, force)

    def step(self, q_target: np.ndarray | None, gripper_opening: float) -> None:
        """Advance 2 ms.

        ``q_target`` (6,) rad is the joint servos' reference; its speed and acceleration are fed forward.
        None lets the arm float (gravity compensated, nearly free: freedrive). ``gripper_opening`` is the
        target openness, 0 closed to 1 open; the fingers approach it at ``gripper_speed``.
        """
        if q_target is None:
            self._float()
        else:
            qd = (q_target - self._q_reference) / self.period
            qdd = (qd - self._qd_reference) / self.period
            self._arm_ctrl[:] = q_target + self._lead_speed * qd + self._lead_acceleration @ qdd
            self._q_reference, self._qd_reference = q_target, qd
        target = min(max(gripper_opening, 0.0), 1.0) * self.scene.stroke
        travel = self.gripper_speed * self.period
        self._opening_reference += min(max(target - self._opening_reference, -travel), travel)
        self.data.ctrl[self.scene.gripper_actuator] = self._opening_reference
        mujoco.mj_step(self.model, self.data)
        self.steps += 1
        if self.steps % _SLOW_STEPS == 0:
            self._watch(target)

    def _float(self) -> None:
        q, qd = self.q, self.qd
        self._arm_ctrl[:] = q + (self._damping - _FREEDRIVE_DAMPING) * qd / self._stiffness
        self._q_reference, self._qd_reference = q, qd

    def _watch(self, opening_target: float) -> None:
        """Every 10 ms: has the grip been stopped by something, does the task's goal hold."""
        off = abs(self._opening_reference - self.opening_m)
        still = abs(self._finger_qd[0] + self._finger_qd[1]) < 0.004
        blocked = off > 0.002 and still and self._opening_reference == opening_target
        self._blocked_for = self._blocked_for + _SLOW_STEPS * self.period if blocked else 0.0
        self._task.advance(self.opening_m, self.data.site_xpos[self._tcp_site])
        if not self._task.satisfied():
            self._satisfied_since = math.inf
        elif math.isinf(self._satisfied_since):
            self._satisfied_since = self.time

    @property
    def time(self) -> float:
        """Simulated seconds since the reset."""
        return self.steps * self.period

    @property
    def q(self) -> np.ndarray:
        """Joint positions (6,) rad."""
        return self._arm_q.copy()

    @property
    def qd(self) -> np.ndarray:
        """Joint speeds (6,) rad/s."""
        return self._arm_qd.copy()

    @property
    def torque(self) -> np.ndarray:
        """Servo torques (6,) Nm, gravity compensation not included."""
        return self.data.actuator_force[self.scene.arm_actuators].copy()

    @property
    def tcp_pose(self) -> np.ndarray:
        """True T_base_tcp (4, 4)."""
        return self.scene.tcp_pose()

    @property
    def opening_m(self) -> float:
        """Distance between the pads, m."""
        return float(self._finger_q[0] + self._finger_q[1])

    @property
    def gripper_opening(self) -> float:
        """Openness, 0 closed to 1 open."""
        return min(max(self.opening_m / self.scene.stroke, 0.0), 1.0)

    @property
    def object_detected(self) -> bool:
        """The fingers have been stopped short of their target for 50 ms."""
        return self._blocked_for >= 0.05

    @property
    def tcp_force(self) -> np.ndarray:
        """Wrench (6,) N, Nm that contacts apply to the gripper, about the TCP, in the base frame."""
        mujoco.mj_rnePostConstraint(self.model, self.data)
        bodies = self.scene.gripper_bodies
        wrench = self.data.cfrc_ext[bodies].sum(axis=0)
        torque, force = wrench[:3], wrench[3:]
        about = self.data.subtree_com[self.model.body_rootid[self._tool_body]]
        ax, ay, az = (about - self.data.site_xpos[self._tcp_site]).tolist()
        fx, fy, fz = force.tolist()
        return np.concatenate([force, torque + (ay * fz - az * fy, az * fx - ax * fz, ax * fy - ay * fx)])

    def touching(self) -> bool:
        """Whether the gripper touches anything but itself."""
        bodies = self.model.geom_bodyid[self.data.contact.geom]
        inside = np.isin(bodies, self.scene.gripper_bodies)
        return bool((inside.sum(axis=1) == 1).any())

    def push(self, wrench: np.ndarray | None) -> None:
        """Apply an outside wrench (6,) N, Nm in base axes to the gripper until changed; None stops."""
        self.data.xfrc_applied[self._tool_body] = 0.0 if wrench is None else wrench

    def success(self) -> bool:
        """Whether the task's goal has held for the time the task asks."""
        return self.time - self._satisfied_since >= self.scene.task.success["hold"] - 1e-9

    def objects(self) -> dict[str, np.ndarray]:
        """True poses (4, 4) of the task's objects."""
        return self._task.truth()

    def snapshot(self) -> np.ndarray:
        """Everything needed to go on from here, float64 (n,); the same n for every snapshot of a scene."""
        physics = np.empty(self._state_size)
        mujoco.mj_getState(self.model, self.data, physics, _STATE)
        own = [
            self.scene.seed, self.steps, self._satisfied_since, self._blocked_for, self._opening_reference,
            self.gripper_speed, self.gripper_force, *self._q_reference, *self._qd_reference, *self._lead_acceleration.ravel(),
        ]
        return np.concatenate([own, physics])

    def restore(self, snapshot: np.ndarray) -> None:
        """Return to a snapshot of this scene, or of another one built from the same cell and task."""
        seed = int(snapshot[0])
        if seed != self.scene.seed:
            self.scene.reset(seed)
        head = len(snapshot) - self._state_size
        own, physics = snapshot[:head], snapshot[head:]
        self.steps, self._satisfied_since, self._blocked_for = int(own[1]), own[2], own[3]
        self._opening_reference, self.gripper_speed, self.gripper_force = own[4], own[5], own[6]
        self._q_reference, self._qd_reference = own[7:13].copy(), own[13:19].copy()
        self._lead_acceleration = own[19:55].reshape(6, 6).copy()
        mujoco.mj_setState(self.model, self.data, np.ascontiguousarray(physics), _STATE)
        mujoco.mj_forward(self.model, self.data)
