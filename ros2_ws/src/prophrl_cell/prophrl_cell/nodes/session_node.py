"""Runs trials: homes the arm, asks for a scene, starts and stops episodes, collects labels, survives faults.

``ros2 run prophrl_cell session_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle``

A person's words come as services (``session/scene_ready``, ``episode/label``) or as messages on ``episode/command``.
With the parameter ``teleop`` a person runs the trials: they may take their time, only what they label counts, and
START begins a session of one trial when none runs.
"""

import dataclasses
import functools
import sys
import time

from prophrl_core.cell import load_cell
from prophrl_core.episode import new_episode_id
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import EVENTS
from prophrl_core.task import load_task
from prophrl_interfaces.action import RunTrials
from prophrl_interfaces.msg import EpisodeCommand, EpisodeEvent
from prophrl_interfaces.srv import LabelEpisode
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_srvs.srv import Trigger

from prophrl_cell.nodes.session_health import SessionHealth
from prophrl_cell.session import (
    ABORTED,
    DISCARDED,
    FAULT,
    Announce,
    Emit,
    GoHome,
    Phase,
    SessionConfig,
    TrialSession,
    View,
)

STEP_PERIOD_S = 0.05
PATIENCE_S = 3600.0  # with a person who runs the trials
EVENT_NUMBERS = {
    Announce.RESET_REQUESTED: EpisodeEvent.RESET_REQUESTED,
    Announce.STARTED: EpisodeEvent.STARTED,
    Announce.LABEL_REQUESTED: EpisodeEvent.LABEL_REQUESTED,
    Announce.STOPPED: EpisodeEvent.STOPPED,
    Announce.SESSION_ENDED: EpisodeEvent.SESSION_ENDED,
}
OUTCOMES = {
    EpisodeCommand.SUCCESS: "success", EpisodeCommand.FAILURE: "failure", EpisodeCommand.DISCARD: DISCARDED,
}  # fmt: skip
WAITING = (Phase.HOMING, Phase.RESET)
NO_SESSION = "no session is running"
WORD_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class SessionNode(ProcessNode):
    """The ROS face of ``TrialSession``: a timer steps it, services and statuses feed it."""

    def __init__(self):
        super().__init__("session_node")
        self.declare_parameter("task_file", "")
        self.declare_parameter("needs_policy", True)
        self.declare_parameter("teleop", False)
        self.declare_parameter("trial_timeout", 0.0)  # s, where a request names none; 0: the task's horizon
        self.declare_parameter("seed", 0)  # of the first session that START begins
        self.declare_parameter("operator", "")
        self._session: TrialSession | None = None
        self._busy = False  # from accepting a goal to its result
        self._entities: list = []

    def setup(self) -> None:
        self._cell = load_cell(self.text_parameter("cell_file"))
        self._task = load_task(self.text_parameter("task_file"))
        self._teleop = self.get_parameter("teleop").value
        self._next_seed = self.get_parameter("seed").value
        self._events = self.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self._home = self.create_client(Trigger, "arm/home")

    def begin(self) -> None:
        policy = self.get_parameter("needs_policy").value
        self._health = SessionHealth(self, self._cell, policy, self._teleop)
        self._entities = [
            *((self.destroy_subscription, subscription) for subscription in self._health.subscriptions),
            (self.destroy_subscription,
             self.create_subscription(EpisodeCommand, "episode/command", self._told, WORD_QOS)),
            (self.destroy_service, self.create_service(LabelEpisode, "episode/label", self._label)),
            (self.destroy_service, self.create_service(Trigger, "session/scene_ready", self._scene_ready)),
            (self.destroy_timer, self.create_timer(STEP_PERIOD_S, self._step)),
        ]  # fmt: skip
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
        self._goal_handle = goal
        self._begin_session(goal.request.trials, goal.request.seed, goal.request.timeout)
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

    def _begin_session(self, trials: int, seed: int, timeout_s: float) -> None:
        timeout_s = timeout_s or self.get_parameter("trial_timeout").value or self._task.horizon_seconds
        config = SessionConfig(trials, seed, timeout_s)
        if self._teleop:
            config = dataclasses.replace(
                config, uncounted=(DISCARDED, FAULT, ABORTED), scene_timeout_s=PATIENCE_S, label_timeout_s=PATIENCE_S
            )
        self._finished = Future()
        self._session = TrialSession(config, functools.partial(new_episode_id, self._task.name), time.monotonic())
        self._waiting_line, self._reported, self._cancelled = "", 0, False

    def _step(self) -> None:
        session = self._session
        if session is None or self._finished.done():
            return
        now = time.monotonic()
        trouble = self._health.trouble(now)
        phase = session.phase
        goal = self._goal_handle
        cancelled = self._cancelled or (goal is not None and goal.is_cancel_requested)
        view = View(self._health.arm_moving, trouble, trouble or self._health.unrecorded(now), cancelled)
        for command in session.step(now, view):
            self._carry_out(command)
        if trouble and trouble != self._waiting_line and phase is Phase.HOMING:
            self.get_logger().warning(f"trial {session.trial}: waiting: {trouble}")
            self._waiting_line = trouble
        if session.phase is not phase:
            self._feedback(session)
        if session.phase is Phase.DONE:
            if session.message:
                self.get_logger().error(session.message)
            self._finished.set_result(None)
            if goal is None:
                self._session, self._busy = None, False

    def _feedback(self, session: TrialSession) -> None:
        """The trials that have ended since the last feedback, then what is going on now."""
        if self._goal_handle is None:
            return
        for ended in session.results[self._reported :]:
            self._goal_handle.publish_feedback(RunTrials.Feedback(
                trial=ended.trial, episode_id=ended.episode_id, phase=Phase.DONE.value, outcome=ended.outcome,
            ))
        self._reported = len(session.results)
        if session.phase is not Phase.DONE:
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
            event=EVENT_NUMBERS[command.what], episode_id=command.episode_id, task=self._task.name,
            instruction=self._task.instruction, trial=command.trial, seed=command.seed,
            policy_version=self._health.policy_version, operator_name=self.get_parameter("operator").value,
        )  # fmt: skip
        event.header.stamp = self.get_clock().now().to_msg()
        if command.result is not None:
            result = command.result
            event.outcome, event.reason = result.outcome, result.reason
            event.operator_name = result.operator or event.operator_name
            why = f" ({result.reason})" if result.reason else ""
            self.get_logger().info(
                f"trial {result.trial}: {result.outcome} after {result.duration_s:.1f} s{why} {result.episode_id}"
            )
        self._events.publish(event)
        if command.what is Announce.STARTED:
            self._health.trial_began(command.episode_id, time.monotonic())

    def _home_answered(self, session: TrialSession, answer: Future) -> None:
        response = answer.result()
        session.home_answered(response.success, response.message, time.monotonic())

    def _scene_ready(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = NO_SESSION if self._session is None else self._session.scene_ready()
        response.success, response.message = not refusal, refusal
        return response

    def _told(self, word: EpisodeCommand) -> None:
        """A word of the operator; what it cannot do now is logged."""
        refusal = self._obey(word)
        if refusal:
            self.get_logger().warning(f"episode/command: {refusal}")

    def _obey(self, word: EpisodeCommand) -> str:
        session = self._session
        if session is None:
            if word.command != EpisodeCommand.START or not self._teleop or self._busy:
                return NO_SESSION
            self.get_logger().info("a session of one trial: the arm goes home, then lay out the scene and START again")
            self._busy, self._goal_handle = True, None
            self._begin_session(1, self._next_seed, 0.0)
            self._next_seed += 1
            return ""
        if word.command == EpisodeCommand.START:
            return session.scene_ready()
        if word.command == EpisodeCommand.STOP and self._goal_handle is None and session.phase in WAITING:
            self._cancelled = True
            return ""
        if word.command == EpisodeCommand.STOP:
            return session.stop(word.episode_id)
        if word.command in OUTCOMES:
            return session.label(word.episode_id, OUTCOMES[word.command], word.reason, word.operator_name)
        return f"expected a command of 0 to {EpisodeCommand.DISCARD}, got {word.command}"

    def _label(self, request: LabelEpisode.Request, response: LabelEpisode.Response) -> LabelEpisode.Response:
        refusal = NO_SESSION if self._session is None else self._session.label(
            request.episode_id, request.outcome, request.reason, request.operator_name
        )
        response.success, response.message = not refusal, refusal
        return response


def main() -> None:
    sys.exit(run(SessionNode))


if __name__ == "__main__":
    main()
