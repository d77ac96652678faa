"""Asks the session for a number of trials, prints each as it ends, and ends when all have."""

import sys
import time
import uuid

import rclpy
from prophrl_core.errors import UserError
from prophrl_core.stop_signal import StopSignal
from prophrl_interfaces.action import RunTrials
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from unique_identifier_msgs.msg import UUID

SERVER_TIMEOUT_S = 60.0
CANCEL_TIMEOUT_S = 3.0
ANSWER_GRACE_S = 2.0  # from the first feedback on, for the answer that should have come before it


class TrialsClient(Node):
    """Client of the ``run_trials`` action. Parameters: task, trials, seed, timeout (s per trial; 0: the task's own)."""

    def __init__(self):
        super().__init__("run_trials")
        for name, default in (("cell_file", ""), ("task_file", ""), ("task", ""), ("trials", 1), ("seed", 0), ("timeout", 0.0)):
            self.declare_parameter(name, default)
        self.client = ActionClient(self, RunTrials, "run_trials")
        self.heard_at: float | None = None  # first feedback, monotonic s

    def goal(self) -> RunTrials.Goal:
        """The request that the parameters describe."""
        names = ("task", "trials", "seed", "timeout")
        return RunTrials.Goal(**{name: self.get_parameter(name).value for name in names})

    def on_feedback(self, message) -> None:
        """One line per trial, when it has ended."""
        self.heard_at = self.heard_at or time.monotonic()
        feedback = message.feedback
        if feedback.outcome:
            print(f"trial {feedback.trial + 1}: {feedback.outcome} ({feedback.episode_id})", flush=True)


class _Stopped(Exception):
    """Ctrl-C."""


def _spin_until(executor, stop: StopSignal | bool, condition, timeout: float, failure: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if stop:
            raise _Stopped
        if time.monotonic() > deadline:
            raise UserError(failure)
        executor.spin_once(timeout_sec=0.1)


def run_trials(node: TrialsClient, executor, stop: StopSignal) -> RunTrials.Result:
    """Send the goal and wait for its result; ``stop`` cancels it."""
    _spin_until(
        executor, stop, node.client.server_is_ready, SERVER_TIMEOUT_S,
        f"run_trials: expected a running session_node, none answered in {SERVER_TIMEOUT_S:.0f} s; is the cell up?",
    )  # fmt: skip
    goal_id = UUID(uuid=list(uuid.uuid4().bytes))
    sent = node.client.send_goal_async(node.goal(), feedback_callback=node.on_feedback, goal_uuid=goal_id)

    def runs() -> bool:
        """The goal was answered; or its answer got lost while DDS was still matching, but it gives feedback."""
        return sent.done() or (node.heard_at is not None and time.monotonic() - node.heard_at > ANSWER_GRACE_S)

    _spin_until(executor, stop, runs, SERVER_TIMEOUT_S, "run_trials: the session did not answer the request")
    if sent.done():
        handle = sent.result()
    else:
        handle = ClientGoalHandle(node.client, goal_id, RunTrials.Impl.SendGoalService.Response(accepted=True))
    if not handle.accepted:
        raise UserError("run_trials: the session refused the request; is another one running, or the task another?")
    result = handle.get_result_async()
    try:
        _spin_until(executor, stop, result.done, float("inf"), "")
    except _Stopped:
        cancelled = handle.cancel_goal_async()
        _spin_until(executor, False, cancelled.done, CANCEL_TIMEOUT_S, "run_trials: the session did not confirm the stop")
        raise
    return result.result().result


def report(result: RunTrials.Result, wanted: int) -> int:
    """Print the summary; exit status 0 when every trial ran, 1 when the session ended early."""
    for outcome, reason, duration in zip(result.outcomes, result.reasons, result.durations, strict=True):
        print(f"  {outcome:<8} {duration:5.1f} s  {reason}")
    print(f"{result.successes} of {result.trials} trials succeeded", flush=True)
    if result.trials < wanted:
        print(f"prophrl: error: {wanted} trials asked, {result.trials} ran: {result.message}", file=sys.stderr, flush=True)
        return 1
    return 0


def main() -> None:
    stop = StopSignal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = TrialsClient()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        status = report(run_trials(node, executor, stop), node.get_parameter("trials").value)
    except UserError as error:
        print(f"prophrl: error: {error}", file=sys.stderr, flush=True)
        status = 2
    except _Stopped:
        status = 0
    finally:
        node.destroy_node()
        rclpy.shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
