"""The controller's side of a fast simulation: reference motion, inverse kinematics, servoJ, physics.

The same parts with the same periods as on the wire: chunks become a reference at the cell's servo rate,
closed-form inverse kinematics turns it into joint targets, servoJ and the plant run at 500 Hz.
"""

import numpy as np
from prophrl_core import se3
from prophrl_core.chunk_schedule import Chunk, ChunkSchedule
from prophrl_core.target_history import TargetHistory
from prophrl_core.ur_kinematics import nearest_inverse

from prophrl_sim.plant import Plant
from prophrl_sim.servo import ServoConfig, ServoJ


class Motion:
    """Drives a plant along chunks in simulated time."""

    def __init__(self, plant: Plant):
        self.plant = plant
        robot = plant.scene.cell.robot
        self._model = robot.kinematics
        self._T_tcp_tool0 = se3.inverse(robot.T_tool0_tcp)
        self._ticks = round(1.0 / (robot.servo_rate * plant.period))
        self._contact_force = plant.scene.cell.envelope.contact_force
        self._servo = ServoJ(
            self._model.max_speed, plant.period, ServoConfig(robot.servo_lookahead, robot.servo_gain)
        )
        self.reset()

    def reset(self) -> None:
        """Rest where the plant is (call after ``plant.reset``)."""
        self._q_target = self.plant.q
        self._servo.reset(self._q_target)
        self.schedule = ChunkSchedule(self.plant.tcp_pose, self.plant.gripper_opening)
        self.history = TargetHistory()
        self.history.append(0.0, self.plant.tcp_pose, self.plant.gripper_opening)
        self._openness = self.plant.gripper_opening
        self.unreachable = 0  # control ticks whose pose had no joint solution
        self.contact_stop = False  # the tool pressed harder than the cell's envelope allows; the arm holds since

    @property
    def time(self) -> float:
        """Simulated seconds since the reset."""
        return self.plant.time

    def commanded(self) -> tuple[np.ndarray, float]:
        """The target in force: T_base_tcp (4, 4) and openness."""
        setpoint = self.schedule.setpoint(self.time)
        return setpoint.T, setpoint.openness

    def accept(self, actions_TD: np.ndarray, step_period: float, observation_time: float) -> int:
        """Take a chunk planned from an observation made at ``observation_time``; anchored as the arm does it.

        Returns how many of its first steps were already past.
        """
        T_anchor, _ = self.history.at(observation_time)
        from_rest = not self.history.moved_since(observation_time)
        chunk = Chunk(np.asarray(actions_TD, dtype=float), step_period, observation_time)
        return self.schedule.accept(chunk, self.time, T_anchor, from_rest)

    def take(self, T_anchor: np.ndarray, actions_TD: np.ndarray, step_period: float) -> None:
        """Act from now on from the target ``T_anchor`` (4, 4), with nothing past."""
        chunk = Chunk(actions_TD, step_period, self.time)
        self.schedule.accept(chunk, self.time, T_anchor, from_rest=False)

    def run_until(self, t: float) -> None:
        """Advance simulated time to ``t`` (s), rounded to a physics step, under the present schedule."""
        plant, servo = self.plant, self._servo
        while plant.time < t - 0.5 * plant.period:
            if plant.steps % self._ticks == 0:
                self._control()
            plant.step(servo.step(self._q_target), self._openness)
        setpoint = self.schedule.setpoint(plant.time)
        self.history.append(plant.time, setpoint.T, setpoint.openness)

    def _control(self) -> None:
        """One tick of the arm process: the schedule's pose to joint targets, held once the tool presses too hard."""
        pressed = float(np.linalg.norm(self.plant.tcp_force[:3]))
        if pressed > self._contact_force and not self.contact_stop:
            self.contact_stop = True
            held = self.schedule.setpoint(self.time)
            self.schedule.hold(held.T, held.openness)
        setpoint = self.schedule.setpoint(self.time)
        self.history.append(self.time, setpoint.T, setpoint.openness)
        self._openness = setpoint.openness
        q = nearest_inverse(self._model, setpoint.T @ self._T_tcp_tool0, self._q_target)
        if q is None:
            self.unreachable += 1
        else:
            self._q_target = q
