"""Runs trials: homes the arm, asks for a scene, starts and stops episodes, collects labels, survives faults.

``ros2 run prophrl_cell session_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle``
"""

import functools
import sys
import time

from prophrl_core.cell import load_cell
from prophrl_core.episode import new_episode_id
from prophrl_core.task import load_task
from prophrl_interfaces.action import RunTrials
from prophrl_interfaces.msg import ArmStatus, CameraStatus, EpisodeEvent, PolicyStatus, RecorderStatus
from prophrl_interfaces.srv import LabelEpisode
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_srvs.srv import Trigger

from prophrl_cell.graph_health import GraphHealth
from prophrl_cell.nodes.lifecycle_process import ProcessNode, run
from prophrl_cell.session import Announce, Emit, GoHome, SessionConfig, TrialSession, View

STEP_PERIOD_S = 0.05
# Longest silence of a status before its node counts as gone (s); each publishes at 1 Hz or faster.
SILENCE_S = {"arm": 2.0, "recorder": 3.0, "policy": 4.0}
CAMERA_SILENCE_S = 4.0
EVENTS = {
    Announce.RESET_REQUESTED: EpisodeEvent.RESET_REQUESTED,
    Announce.STARTED: EpisodeEvent.STARTED,
    Announce.LABEL_REQUESTED: EpisodeEvent.LABEL_REQUESTED,
    Announce.STOPPED: EpisodeEvent.STOPPED,
    Announce.SESSION_ENDED: EpisodeEvent.SESSION_ENDED,
}
ARM_MODES = {
    getattr(ArmStatus, name): name.removeprefix("MODE_").lower().replace("_", " ")
    for name in dir(type(ArmStatus)) if name.startswith("MODE_")
}


def latched(depth: int) -> QoSProfile:
    """Reliable and transient local."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class SessionNode(ProcessNode):
    """The ROS face of ``TrialSession``: a timer steps it, services and statuses feed it."""

    def __init__(self):
        super().__init__("session_node")
        self.declare_parameter("task_file", "")
        self._session: TrialSession | None = None
        self._busy = False  # from accepting a goal to its result
        self._entities: list = []

    def setup(self) -> None:
        self._cell = load_cell(self.text_parameter("cell_file"))
        self._task = load_task(self.text_parameter("task_file"))
        cameras = {f"camera {c.name}": CAMERA_SILENCE_S for c in self._cell.cameras}
        self._health = GraphHealth(SILENCE_S | cameras)
        self._arm_mode = ArmStatus.MODE_DISCONNECTED
        self._policy_version = ""
        self._events = self.create_publisher(EpisodeEvent, "episode/event", latched(20))
        self._home = self.create_client(Trigger, "arm/home")

    def begin(self) -> None:
        subscribe = functools.partial(self.create_subscription, qos_profile=latched(1))
        self._entities = [
            (self.destroy_subscription, subscribe(ArmStatus, "arm/status", self._arm_heard)),
            (self.destroy_subscription, subscribe(PolicyStatus, "policy/status", self._policy_heard)),
            (self.destroy_subscription, subscribe(RecorderStatus, "recorder/status", self._recorder_heard)),
            (self.destroy_service, self.create_service(LabelEpisode, "episode/label", self._label)),
            (self.destroy_service, self.create_service(Trigger, "session/scene_ready", self._scene_ready)),
            (self.destroy_timer, self.create_timer(STEP_PERIOD_S, self._step)),
        ]
        for camera in self._cell.cameras:
            subscription = subscribe(CameraStatus, f"camera/{camera.name}/status", self._camera_heard)
            self._entities.append((self.destroy_subscription, subscription))
        self._server = ActionServer(
            self, RunTrials, "run_trials", self._execute, goal_callback=self._goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self._entities.append((lambda server: server.destroy(), self._server))

    def end(self) -> None:
        if self._session is not None:
            for command in self._session.step(time.monotonic(), View(cancelled=True)):
                self._carry_out(command)
            self._session = None
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities = []

    def _arm_heard(self, status: ArmStatus) -> None:
        self._arm_mode = status.mode
        ok = status.mode in (ArmStatus.MODE_READY, ArmStatus.MODE_EXECUTING, ArmStatus.MODE_MOVING)
        line = f"{ARM_MODES.get(status.mode, status.mode)}: {status.reason or 'no reason given'}"
        self._health.heard("arm", ok, line, time.monotonic())

    def _policy_heard(self, status: PolicyStatus) -> None:
        self._policy_version = status.version
        ok = status.state in (PolicyStatus.STATE_IDLE, PolicyStatus.STATE_RUNNING)
        self._health.heard("policy", ok, status.reason or "no bundle is loaded", time.monotonic())

    def _recorder_heard(self, status: RecorderStatus) -> None:
        self._health.heard("recorder", status.state != RecorderStatus.STATE_FAULT, status.reason, time.monotonic())

    def _camera_heard(self, status: CameraStatus) -> None:
        self._health.heard(f"camera {status.name}", status.streaming, status.reason, time.monotonic())

    def _goal(self, request: RunTrials.Goal) -> GoalResponse:
        if self._busy:
            refusal = "a session is already running; cancel it first"
        elif request.task not in ("", self._task.name):
            refusal = f"expected task {self._task.name}, got {request.task}; start the cell for that task"
        elif not 1 <= request.trials <= 1000:
            refusal = f"expected 1 to 1000 trials, got {request.trials}"
        elif not 0.0 <= request.timeout < 3600.0:
            refusal = f"expected a timeout of 0 to 3600 s, got {request.timeout}"
        else:
            self._busy = True
            return GoalResponse.ACCEPT
        self.get_logger().error(f"run_trials: {refusal}")
        return GoalResponse.REJECT

    async def _execute(self, goal) -> RunTrials.Result:
        request = goal.request
        self._goal_handle, self._finished = goal, Future()
        config = SessionConfig(request.trials, request.seed, request.timeout or self._task.horizon_seconds)
        self._session = TrialSession(config, functools.partial(new_episode_id, self._task.name), time.monotonic())
        self._waiting_line, self._reported = "", 0
        await self._finished
        session, self._session, self._busy = self._session, None, False
        results = session.results
        result = RunTrials.Result(
            trials=len(results), successes=sum(r.outcome == "success" for r in results),
            episode_ids=[r.episode_id for r in results], outcomes=[r.outcome for r in results],
            reasons=[r.reason for r in results], durations=[r.duration_s for r in results], message=session.message,
        )
        if goal.is_cancel_requested:
            goal.canceled()
        elif session.message:
            goal.abort()
        else:
            goal.succeed()
        return result

    def _step(self) -> None:
        session = self._session
        if session is None or self._finished.done():
            return
        now = time.monotonic()
        trouble = self._health.trouble(now)
        busy = self._arm_mode in (ArmStatus.MODE_MOVING, ArmStatus.MODE_EXECUTING)
        phase = session.phase
        view = View(busy, trouble, trouble, self._goal_handle.is_cancel_requested)
        for command in session.step(now, view):
            self._carry_out(command)
        if trouble and trouble != self._waiting_line and phase.value == "homing":
            self.get_logger().warning(f"trial {session.trial}: waiting: {trouble}")
            self._waiting_line = trouble
        if session.phase is not phase:
            self._feedback(session)
        if session.phase.value == "stopped":
            if session.message:
                self.get_logger().error(session.message)
            self._finished.set_result(None)

    def _feedback(self, session: TrialSession) -> None:
        """The trials that have ended since the last feedback, then what is going on now."""
        for ended in session.results[self._reported :]:
            self._goal_handle.publish_feedback(RunTrials.Feedback(
                trial=ended.trial, episode_id=ended.episode_id, phase="stopped", outcome=ended.outcome,
            ))
        self._reported = len(session.results)
        if session.phase.value != "stopped":
            self._goal_handle.publish_feedback(RunTrials.Feedback(
                trial=session.trial, episode_id=session.episode_id, phase=session.phase.value,
            ))

    def _carry_out(self, command: GoHome | Emit) -> None:
        if isinstance(command, GoHome):
            if not self._home.service_is_ready():
                self._session.home_answered(False, "arm/home is not offered", time.monotonic())
                return
            self._home.call_async(Trigger.Request()).add_done_callback(
                functools.partial(self._home_answered, self._session)
            )
            return
        event = EpisodeEvent(
            event=EVENTS[command.what], episode_id=command.episode_id, task=self._task.name,
            instruction=self._task.instruction, trial=command.trial, seed=command.seed,
            policy_version=self._policy_version,
        )
        event.header.stamp = self.get_clock().now().to_msg()
        if command.result is not None:
            result = command.result
            event.outcome, event.reason, event.operator_name = result.outcome, result.reason, result.operator
            why = f" ({result.reason})" if result.reason else ""
            self.get_logger().info(
                f"trial {result.trial}: {result.outcome} after {result.duration_s:.1f} s{why} {result.episode_id}"
            )
        self._events.publish(event)

    def _home_answered(self, session: TrialSession, answer: Future) -> None:
        response = answer.result()
        session.home_answered(response.success, response.message, time.monotonic())

    def _scene_ready(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = "no session is running" if self._session is None else self._session.scene_ready()
        response.success, response.message = not refusal, refusal
        return response

    def _label(self, request: LabelEpisode.Request, response: LabelEpisode.Response) -> LabelEpisode.Response:
        refusal = "no session is running" if self._session is None else self._session.label(
            request.episode_id, request.outcome, request.reason, request.operator_name
        )
        response.success, response.message = not refusal, refusal
        return response


def main() -> None:
    sys.exit(run(SessionNode))


if __name__ == "__main__":
    main()
