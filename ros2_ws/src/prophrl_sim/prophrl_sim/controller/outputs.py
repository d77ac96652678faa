"""Writes the controller's state into the RTDE output fields, once per tick."""

import math

from prophrl_sim.controller.arm import Arm
from prophrl_sim.controller.robot_state import RobotState

JOINT_MODE_RUNNING, JOINT_MODE_POWER_OFF = 253, 239
_KINEMATIC = frozenset({"actual_TCP_pose", "actual_TCP_speed", "target_TCP_pose", "target_TCP_speed"})


class OutputFields:
    """Refreshes ``state.registers.fields``; the TCP kinematics only when a client subscribed to them."""

    def __init__(self, state: RobotState, arm: Arm):
        self.state, self.arm = state, arm
        self.fields = state.registers.fields
        self.fields["joint_temperatures"] = (30.0,) * 6
        self.fields["actual_joint_voltage"] = (48.0,) * 6
        self.fields["actual_main_voltage"] = self.fields["actual_robot_voltage"] = (48.0,)
        self.fields["actual_tool_accelerometer"] = (0.0, 0.0, 9.81)
        self._wanted: frozenset[str] = frozenset()

    def subscribe(self, names: set[str]) -> None:
        """The union of all clients' recipes."""
        self._wanted = frozenset(names)

    def refresh(self, execution_time: float) -> None:
        """``execution_time``: seconds the previous tick took."""
        fields, state, arm = self.fields, self.state, self.arm
        fields["timestamp"] = (state.time,)
        fields["robot_mode"] = (int(state.mode),)
        fields["safety_mode"] = fields["safety_status"] = (int(state.safety),)
        fields["runtime_state"] = (int(state.runtime),)
        fields["robot_status_bits"] = (state.status_bits,)
        fields["safety_status_bits"] = (state.safety_bits,)
        fields["target_speed_fraction"] = (state.speed_slider,)
        fields["speed_scaling"] = (state.speed_slider if state.can_move else 0.0,)
        if not self._wanted:
            return
        reference, plant = arm.reference, arm.plant
        previous = fields["target_qd"]
        fields["target_q"] = target = reference.q.tolist()
        fields["target_qd"] = qd = reference.qd.tolist()
        fields["target_qdd"] = [(a - b) * 500.0 for a, b in zip(qd, previous, strict=True)]
        fields["actual_q"] = actual = plant.q.tolist()
        fields["actual_qd"] = speeds = plant.qd.tolist()
        wrench = arm.external_wrench.tolist()
        fields["actual_TCP_force"] = fields["ft_raw_wrench"] = wrench
        fields["tcp_force_scalar"] = (math.dist(wrench[:3], (0.0, 0.0, 0.0)),)
        fields["joint_mode"] = (JOINT_MODE_RUNNING if state.mode.name == "RUNNING" else JOINT_MODE_POWER_OFF,) * 6
        fields["actual_execution_time"] = (execution_time * 1e3,)
        fields["payload"] = (arm.payload,)
        fields["payload_cog"], fields["payload_inertia"] = arm.payload_centre, arm.payload_inertia
        fields["tcp_offset"] = arm.kinematics.offset
        if self._wanted & _KINEMATIC:
            fields["actual_TCP_pose"], fields["actual_TCP_speed"] = arm.kinematics.state(actual, speeds)
            fields["target_TCP_pose"], fields["target_TCP_speed"] = arm.kinematics.state(target, qd)
