"""Records of the shared memory as ROS messages. ``offset`` is wall clock minus monotonic clock, ns."""

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from prophrl_core import se3
from prophrl_core.clock import realtime_to_monotonic
from prophrl_core.stamps import nanoseconds_of
from prophrl_interfaces.msg import ArmStatus, ArmTarget, EnvelopeEvent, ExecutedAction, TeleopCommand
from sensor_msgs.msg import JointState


def stamp(monotonic_s: float, offset: int) -> Time:
    """ROS time of a monotonic time in s."""
    sec, nanosec = divmod(int(monotonic_s * 1e9) + offset, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def teleop_fields(message: TeleopCommand, arrived: float) -> dict:
    """Fields of a ``shared_state.TELEOP`` record; ``arrived`` is monotonic s."""
    linear, angular, read = message.twist.linear, message.twist.angular, message.header.stamp
    return {
        "arrived": arrived, "stamp": realtime_to_monotonic(nanoseconds_of(read)),
        "deadman": message.deadman, "freedrive": message.freedrive, "frame": message.frame,
        "twist": (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z), "openness": message.openness,
    }  # fmt: skip


def joint_state(sample: np.ndarray, offset: int, names: list[str]) -> JointState:
    message = JointState(name=names, position=sample["q"].tolist(), velocity=sample["qd"].tolist())
    message.header.stamp = stamp(float(sample["stamp"]), offset)
    return message


def tcp_pose(sample: np.ndarray, offset: int) -> PoseStamped:
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp(float(sample["stamp"]), offset), "base"
    _fill_pose(message.pose, se3.pose_from_rotvec(sample["tcp_pose"]))
    return message


def wrench(sample: np.ndarray, offset: int) -> WrenchStamped:
    message = WrenchStamped()
    message.header.stamp, message.header.frame_id = stamp(float(sample["stamp"]), offset), "base"
    force, torque = message.wrench.force, message.wrench.torque
    force.x, force.y, force.z, torque.x, torque.y, torque.z = sample["wrench"].tolist()
    return message


def target(sample: np.ndarray, offset: int) -> ArmTarget:
    message = ArmTarget(openness=float(sample["openness"]), joints=sample["q_command"])
    message.header.stamp, message.header.frame_id = stamp(float(sample["command_stamp"]), offset), "base"
    _fill_pose(message.tcp, sample["T_command"])
    return message


def envelope_event(record: np.ndarray, offset: int) -> EnvelopeEvent:
    message = EnvelopeEvent(
        episode_id=record["episode_id"].decode(), action=int(record["kind"]), limit=record["limit"].decode(),
        value=float(record["value"]), bound=float(record["bound"]), unit=record["unit"].decode(),
        detail=record["detail"].decode(),
    )  # fmt: skip
    message.header.stamp = stamp(float(record["stamp"]), offset)
    return message


def executed_action(record: np.ndarray, offset: int) -> ExecutedAction:
    message = ExecutedAction(
        episode_id=record["episode_id"].decode(), policy_version=record["policy_version"].decode(),
        source=int(record["source"]), sequence=int(record["sequence"]), step=int(record["step"]),
        proposed=record["proposed"], executed=record["executed"], clamped=bool(record["clamped"]),
        observation_age=float(record["observation_age"]),
    )  # fmt: skip
    message.header.stamp = stamp(float(record["stamp"]), offset)
    return message


def status(state: np.ndarray, periods_ms: tuple[float, float, float], restarts: int) -> ArmStatus:
    p50, p99, longest = periods_ms
    return ArmStatus(
        mode=int(state["mode"]), reason=state["reason"].decode(), robot_mode=int(state["robot_mode"]),
        safety_mode=int(state["safety_mode"]), runtime_state=int(state["runtime_state"]),
        speed_scaling=float(state["speed_scaling"]), servo_rate=float(state["servo_rate"]),
        period_p50=p50, period_p99=p99, period_max=longest, missed_cycles=int(state["missed_cycles"]),
        envelope_events=int(state["envelope_events"]), process_restarts=restarts,
        realtime=bool(state["realtime"]), episode_id=state["episode_id"].decode(), control=int(state["control"]),
    )  # fmt: skip


def _fill_pose(pose, T: np.ndarray) -> None:
    pose.position.x, pose.position.y, pose.position.z = T[:3, 3].tolist()
    q = se3.quat_xyzw(T[:3, :3]).tolist()
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = q
