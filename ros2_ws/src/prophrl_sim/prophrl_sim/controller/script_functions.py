"""The control script's commands that finish within one cycle: settings, questions, kinematics.

Each function takes the running ControlScriptRole, reads its arguments from the input registers and writes
its answer to the output registers. Command numbers are those of ur_rtde's control script.
"""

import numpy as np
from prophrl_core import se3

from prophrl_sim.controller.arm import PERIOD
from prophrl_sim.controller.compliant_motions import Follow
from prophrl_sim.controller.motions import Hold
from prophrl_sim.controller.tcp_kinematics import pose_vector


class RuntimeException(Exception):
    """The program cannot go on, as when URScript raises one: it stops."""


def _set_payload(role) -> None:
    mass, *centre = role.floats_in(0, 4)
    role.arm.payload = mass
    if any(centre):
        role.arm.payload_centre = tuple(centre)


def _set_target_payload(role) -> None:
    _set_payload(role)
    role.arm.payload_inertia = tuple(role.floats_in(4))


def _follow(role) -> None:
    role.arm.start(Follow(lambda: role.arm.plant.q))


def _hold(role) -> None:
    role.arm.start(Hold())


def _set_gain_scaling(role) -> None:
    role.gain_scaling = role.floats_in(0, 1)[0]


def _no_change(role) -> None:
    """Settings that have no counterpart in the simulated arm, and functions newer than the reported version."""


def _zero_force(role) -> None:
    role.arm.zero_force()


def _tool_contact(role) -> None:
    role.int_out(1, role.arm.contact_steps(np.array(role.floats_in(0, 3))))


def _step_time(role) -> None:
    role.floats_out([PERIOD])


def _joints_ago(role) -> None:
    role.floats_out(role.arm.joints_ago(role.int_in(1)))


def _target_waypoint(role) -> None:
    role.floats_out(pose_vector(role.arm.kinematics.forward(role.arm.reference.q)))


def _set_tcp(role) -> None:
    role.arm.kinematics.set_offset(role.floats_in(0))


def _tcp_offset(role) -> None:
    role.floats_out(role.arm.kinematics.offset)


def _inverse(role, near: np.ndarray | None) -> np.ndarray | None:
    return role.arm.joints_for(role.floats_in(0), near)


def _answer_inverse(role, near: np.ndarray | None) -> None:
    q = _inverse(role, near)
    if q is None:
        raise RuntimeException("get_inverse_kin: no solution")
    role.floats_out(q)


def _forward(role) -> None:
    role.floats_out(pose_vector(role.arm.kinematics.forward(role.arm.plant.q)))


def _forward_of(role) -> None:
    T_tool0_tcp = se3.pose_from_rotvec(np.array(role.floats_in(6)))
    role.floats_out(pose_vector(role.arm.kinematics.forward(np.array(role.floats_in(0)), T_tool0_tcp)))


def _flange_pose(role) -> None:
    role.floats_out(pose_vector(role.arm.kinematics.forward(role.arm.plant.q, np.eye(4))))


def _pose_trans(role) -> None:
    first, second = se3.pose_from_rotvec(np.array([role.floats_in(0), role.floats_in(6)]))
    role.floats_out(pose_vector(first @ second))


def _protective_stop(role) -> None:
    role.state.protective_stop("protective_stop() called by the program")


FUNCTIONS = {
    8: _zero_force,
    17: _set_payload,
    18: _follow,
    19: _hold,
    20: _no_change,
    21: _set_gain_scaling,
    25: _tool_contact,
    26: _step_time,
    27: _joints_ago,
    28: _target_waypoint,
    29: _set_tcp,
    30: lambda role: _answer_inverse(role, np.array(role.floats_in(6))),
    31: _protective_stop,
    36: lambda role: role.int_out(1, int(_inverse(role, None) is not None)),
    37: lambda role: role.int_out(1, int(role.arm.within_limits(np.array(role.floats_in(0))))),
    38: lambda role: role.floats_out(role.arm.joint_torques),
    39: _pose_trans,
    40: _tcp_offset,
    43: _forward,
    44: _forward_of,
    46: lambda role: _answer_inverse(role, None),
    47: lambda role: role.int_out(1, int(role.arm.steady)),
    52: _follow,
    53: _hold,
    54: lambda role: role.int_out(1, 0),
    56: _no_change,
    57: _no_change,
    58: _flange_pose,
    59: _no_change,
    60: lambda role: role.int_out(1, int(_inverse(role, None) is not None)),
    61: lambda role: role.int_out(1, int(_inverse(role, np.array(role.floats_in(6))) is not None)),
    65: _set_target_payload,
    66: _no_change,
    67: _no_change,
    68: _no_change,
    69: _no_change,
    70: _no_change,
    71: _no_change,
}
