"""Runs a plan on a live cell as an episode of its own: homes, announces the episode, sends chunks, says how it went."""

import functools
import time

import numpy as np
import rclpy
from prophrl_core import se3
from prophrl_core.errors import UserError
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.stamps import seconds_of
from prophrl_core.task import TaskSpec
from prophrl_interfaces.msg import ActionChunk, ArmStatus, ArmTarget, EpisodeEvent, ExecutedAction, RecorderStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from std_srvs.srv import Trigger

from prophrl_bringup.replay_plan import Plan

LIMIT_S = 60.0
SETTLE_S = 1.0  # after a home move was accepted
EVERY_STEPS = 5  # a fresh chunk after so many steps
LATENCY_S = 0.04  # from the pose that a chunk starts at to its sending, so that arm/target of that moment is here
REST_S = 0.6  # after the last step
START_APART_M, START_APART_RAD = 0.01, np.deg2rad(2.0)  # of the arm from where the plan begins
STOPPED_MODES = (
    ArmStatus.MODE_DISCONNECTED, ArmStatus.MODE_HOLD, ArmStatus.MODE_PROTECTIVE_STOP, ArmStatus.MODE_EMERGENCY_STOP,
    ArmStatus.MODE_FAULT,
)  # fmt: skip


class ReplayClient:
    """Plays session and planner; every wait is bounded and ends in a UserError."""

    def __init__(self, task: TaskSpec):
        self._task = task
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("replay", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        reliable = functools.partial(QoSProfile, reliability=ReliabilityPolicy.RELIABLE)
        self._arm: ArmStatus | None = None
        self._stopped: str | None = None  # why the arm stopped since it was last sent home
        self._recorder: RecorderStatus | None = None
        self._targets: list[tuple[float, ArmTarget]] = []
        self._first_end: float | None = None
        subscribe = self._node.create_subscription
        subscribe(ArmStatus, "arm/status", self._arm_heard, LATEST)
        subscribe(RecorderStatus, "recorder/status", self._recorder_heard, LATEST)
        subscribe(ArmTarget, "arm/target", self._target_heard, qos_profile_sensor_data)
        subscribe(ExecutedAction, "arm/executed_action", self._executed_heard, reliable(depth=100))
        self._chunks = self._node.create_publisher(ActionChunk, "arm/chunk", reliable(depth=1))
        self._events = self._node.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self._home = self._node.create_client(Trigger, "arm/home")

    def close(self) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def home(self) -> None:
        """Send the arm home, gripper open, and wait until it rests there; UserError when it stops on the way, whoever
        gave it its word afterwards."""
        self._until(self._ready, "a ready arm")
        self._until(self._home.service_is_ready, "the service arm/home")
        self._stopped = None
        answer = self._home.call_async(Trigger.Request())
        self._until(answer.done, "an answer of arm/home", moving=True)
        if not answer.result().success:
            raise UserError(f"replay: expected the arm to go home, it answered: {answer.result().message}")
        settled = time.monotonic() + SETTLE_S
        self._until(lambda: time.monotonic() >= settled, "the move home", moving=True)
        self._until(self._ready, "the arm at home", moving=True)

    def run(
        self, plan: Plan, episode_id: str, seed: int, version: str, source: int = ActionChunk.SOURCE_REPLAY
    ) -> None:
        """Execute the plan from home as episode ``episode_id``; UserError when the arm is not where the plan begins, and
        when it stops on the way."""
        self._until(lambda: self._recorder is not None, "recorder/status", moving=True)
        self._until(
            lambda: self._chunks.get_subscription_count() > 0, "arm_node's subscription to arm/chunk", moving=True
        )
        self._check_start(plan)
        self._event(EpisodeEvent.STARTED, episode_id, seed, version)
        self._until(lambda: self._arm.episode_id == episode_id, "the episode in arm/status")
        self._until(lambda: self._recorder.episode_id == episode_id, "the episode in recorder/status")
        self._first_end, begun, period = None, None, plan.spec.step_period
        for sequence, first in enumerate(range(0, plan.steps, EVERY_STEPS)):
            if begun is None:
                observed = self._now()
                T_anchor = plan.poses_N44[0]
            else:
                observed = begun + first * period
                self._until(lambda at=observed: self._now() >= at + LATENCY_S, "the next chunk's time", moving=True)
                T_anchor = self._commanded_at(observed)
            self._send(plan.chunk(first, T_anchor), plan, observed, episode_id, sequence, version, source)
            if begun is None:
                self._until(lambda: self._first_end is not None, "the first executed step")
                begun = self._first_end - period
        end = begun + plan.steps * period + REST_S
        self._until(lambda: self._now() >= end, "the end of the motion", moving=True)

    def _check_start(self, plan: Plan) -> None:
        asked = self._now()
        self._until(lambda: self._targets and self._targets[-1][0] > asked, "a new arm/target", moving=True)
        away = se3.inverse(plan.poses_N44[0]) @ _pose(self._targets[-1][1])
        metres, angle = float(np.linalg.norm(away[:3, 3])), se3.rotation_angle(away[:3, :3])
        if not (metres <= START_APART_M and angle <= START_APART_RAD):
            raise UserError(
                f"replay: expected the arm where the plan begins, it is {1e3 * metres:.0f} mm and "
                f"{np.rad2deg(angle):.1f} deg away; send it home again"
            )

    def stop(self, episode_id: str, seed: int, version: str, outcome: str, reason: str) -> str:
        """End the episode; the folder that the recorder made of it."""
        self._event(EpisodeEvent.STOPPED, episode_id, seed, version, outcome=outcome, reason=reason)
        self._until(
            lambda: not self._recorder.episode_id and self._recorder.path.endswith(episode_id), "the finished recording"
        )
        if self._recorder.state == RecorderStatus.STATE_FAULT:
            raise UserError(f"replay: the recorder stopped early: {self._recorder.reason}")
        return self._recorder.path

    def _arm_heard(self, status: ArmStatus) -> None:
        self._arm = status
        if status.mode in STOPPED_MODES and self._stopped is None:
            self._stopped = status.reason or "no reason given"

    def _recorder_heard(self, status: RecorderStatus) -> None:
        self._recorder = status

    def _target_heard(self, target: ArmTarget) -> None:
        self._targets.append((seconds_of(target.header.stamp), target))
        del self._targets[:-200]

    def _executed_heard(self, executed: ExecutedAction) -> None:
        if self._first_end is None:
            self._first_end = seconds_of(executed.header.stamp)

    def _ready(self) -> bool:
        return self._arm is not None and self._arm.mode == ArmStatus.MODE_READY

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _commanded_at(self, t: float) -> np.ndarray:
        """The commanded pose (4, 4) at wall time ``t``, between the two messages around it."""
        times = [stamp for stamp, _ in self._targets]
        i = int(np.clip(np.searchsorted(times, t), 1, len(times) - 1))
        (a, before), (b, after) = self._targets[i - 1], self._targets[i]
        return se3.interpolate(_pose(before), _pose(after), float(np.clip((t - a) / max(b - a, 1e-6), 0.0, 1.0)))

    def _send(
        self, chunk_TD, plan: Plan, observed: float, episode_id: str, sequence: int, version: str, source: int
    ) -> None:
        message = ActionChunk(
            episode_id=episode_id, spec_id=plan.spec.id, policy_version=version, source=source, sequence=sequence,
            step_period=plan.spec.step_period, steps=len(chunk_TD), dims=plan.spec.dims,
            actions=chunk_TD.astype(np.float32).ravel(),
        )  # fmt: skip
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.observation_stamp.sec, message.observation_stamp.nanosec = divmod(int(observed * 1e9), 10**9)
        self._chunks.publish(message)

    def _event(self, kind: int, episode_id: str, seed: int, version: str, **fields) -> None:
        event = EpisodeEvent(
            event=kind, episode_id=episode_id, task=self._task.name, instruction=self._task.instruction, seed=seed,
            policy_version=version, **fields,
        )  # fmt: skip
        event.header.stamp = self._node.get_clock().now().to_msg()
        self._events.publish(event)

    def _until(self, condition, what: str, moving: bool = False) -> None:
        """Handle messages until ``condition()``; with ``moving`` a stop since the arm was sent home ends the wait, too."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            self._executor.spin_once(timeout_sec=0.005)
            if moving and self._stopped is not None:
                raise UserError(f"replay: the arm stopped on the way: {self._stopped}")
            if time.monotonic() > end:
                arm = "not heard" if self._arm is None else f"in mode {self._arm.mode} {self._arm.reason}"
                raise UserError(f"replay: expected {what} in {LIMIT_S:.0f} s, it did not come; the arm is {arm}")


def _pose(target: ArmTarget) -> np.ndarray:
    p, q = target.tcp.position, target.tcp.orientation
    return se3.transform(se3.matrix_from_quat(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z]))
