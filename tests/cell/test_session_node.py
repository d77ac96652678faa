"""The real session_node over DDS: its action, its services, its events; the test plays the rest of the graph."""

import sys
import time

import pytest
from prophrl_interfaces.action import RunTrials
from prophrl_interfaces.msg import (
    ArmStatus,
    CameraStatus,
    EpisodeCommand,
    EpisodeEvent,
    PolicyStatus,
    RecorderStatus,
    TeleopStatus,
)
from prophrl_interfaces.srv import LabelEpisode
from rclpy.action import ActionClient
from rclpy.qos import DurabilityPolicy, QoSProfile
from spun_node import SpunNode
from std_srvs.srv import Trigger

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVENTS = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Graph(SpunNode):
    """Arm, camera, policy and recorder as the session sees them, and an operator's hands."""

    def __init__(self):
        super().__init__("rest_of_the_graph")
        self.arm_mode, self.arm_reason, self.policy_alive, self.homes = ArmStatus.MODE_READY, "", True, 0
        self.events = []
        make = self.node.create_publisher
        self._arm = make(ArmStatus, "arm/status", LATCHED)
        self._policy = make(PolicyStatus, "policy/status", LATCHED)
        self._recorder = make(RecorderStatus, "recorder/status", LATCHED)
        self._camera = make(CameraStatus, "camera/front/status", LATCHED)
        self._teleop = make(TeleopStatus, "teleop/status", LATCHED)
        self._words = make(EpisodeCommand, "episode/command", 10)
        self.node.create_subscription(EpisodeEvent, "episode/event", self.events.append, EVENTS)
        self.node.create_service(Trigger, "arm/home", self._home)
        self.node.create_timer(0.1, self._report)
        self.scene = self.node.create_client(Trigger, "session/scene_ready")
        self.label = self.node.create_client(LabelEpisode, "episode/label")
        self.trials = ActionClient(self.node, RunTrials, "run_trials")
        self.spin()

    def _home(self, request, response):
        self.homes += 1
        response.success = True
        return response

    def _report(self):
        self._arm.publish(ArmStatus(mode=self.arm_mode, reason=self.arm_reason))
        self._recorder.publish(RecorderStatus(episode_id=self.recorded()))
        self._camera.publish(CameraStatus(name="front", streaming=True))
        self._teleop.publish(TeleopStatus())
        if self.policy_alive:
            self._policy.publish(PolicyStatus(state=PolicyStatus.STATE_IDLE, version="sft@0123"))

    def recorded(self):
        """The episode that a recorder would be recording now."""
        return next((e.episode_id for e in reversed(self.events) if e.event == EpisodeEvent.STARTED), "")

    def wait(self, condition, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s; events {[e.event for e in self.events]}"
            time.sleep(0.01)

    def wait_event(self, kind, trial, timeout_s=20.0):
        def there():
            return [e for e in self.events if e.event == kind and e.trial == trial]

        self.wait(there, timeout_s)
        return there()[0]

    def answer(self, future, timeout_s=20.0):
        self.wait(future.done, timeout_s)
        return future.result()

    def say(self, command, **content):
        self.wait(lambda: self._words.get_subscription_count() > 0)
        self._words.publish(EpisodeCommand(command=command, **content))

    def start(self, **goal):
        assert self.trials.wait_for_server(timeout_sec=20.0)
        return self.answer(self.trials.send_goal_async(RunTrials.Goal(**goal)))

    def begin_trial(self, trial):
        self.wait_event(EpisodeEvent.RESET_REQUESTED, trial)
        assert self.answer(self.scene.call_async(Trigger.Request())).success
        return self.wait_event(EpisodeEvent.STARTED, trial)


@pytest.fixture
def graph(ros_domain):
    graph = Graph()
    yield graph
    graph.close()


def start_session(process, *parameters):
    command = [sys.executable, "-m", "prophrl_cell.nodes.session_node", "--ros-args"]
    words = [word for pair in ("cell_file:=sim", "task_file:=grasp_bottle", *parameters) for word in ("-p", pair)]
    return process([*command, *words], name="session")


def test_two_trials_a_success_and_a_fault_with_recovery(graph, process):
    session = start_session(process)
    goal = graph.start(task="grasp_bottle", trials=2, seed=70, timeout=0.0)
    assert goal.accepted
    first = graph.begin_trial(0)
    assert (first.task, first.seed, first.policy_version) == ("grasp_bottle", 70, "sft@0123")
    assert first.episode_id.endswith("-grasp_bottle-000") and first.instruction
    wrong = graph.answer(graph.label.call_async(LabelEpisode.Request(episode_id="other", outcome="success")))
    assert not wrong.success and "got one for other" in wrong.message
    good = LabelEpisode.Request(episode_id=first.episode_id, outcome="success", reason="held", operator_name="ada")
    assert graph.answer(graph.label.call_async(good)).success
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 0)
    assert (stopped.outcome, stopped.reason, stopped.operator_name) == ("success", "held", "ada")

    graph.begin_trial(1)
    graph.arm_mode, graph.arm_reason = ArmStatus.MODE_PROTECTIVE_STOP, "collision; clear it and call arm/unlock"
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 1)
    assert stopped.outcome == "fault"
    assert stopped.reason == "arm: protective stop: collision; clear it and call arm/unlock"
    result = graph.answer(goal.get_result_async()).result
    assert (result.trials, result.successes, list(result.outcomes)) == (2, 1, ["success", "fault"])
    assert graph.homes == 2
    assert "trial 0: success after" in session.output() and "trial 1: fault after" in session.output()
    assert session.interrupt(timeout=5.0) == 0


def test_a_policy_that_dies_ends_the_trial_and_one_that_returns_lets_the_next_begin(graph, process):
    start_session(process)
    goal = graph.start(task="", trials=2, seed=0, timeout=60.0)
    graph.begin_trial(0)
    graph.policy_alive = False
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 0)
    assert stopped.outcome == "fault" and stopped.reason.startswith("policy: silent for")
    homes = graph.homes
    time.sleep(0.5)
    assert graph.homes == homes
    graph.policy_alive = True
    graph.begin_trial(1)
    graph.answer(goal.cancel_goal_async())
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 1)
    assert stopped.outcome == "aborted"
    result = graph.answer(goal.get_result_async()).result
    assert list(result.outcomes) == ["fault", "aborted"] and "cancelled" in result.message


def test_requests_that_make_no_sense_are_refused(graph, process):
    session = start_session(process)
    for goal, line in [
        ({"task": "place_bowl", "trials": 1}, "expected task grasp_bottle, got place_bowl"),
        ({"task": "", "trials": 0}, "expected 1 to 1000 trials, got 0"),
        ({"task": "", "trials": 1, "timeout": float("nan")}, "expected a timeout of 0 to 3600 s, got nan"),
    ]:
        assert not graph.start(**goal).accepted
        session.wait_for(line, timeout=5.0)
    assert graph.homes == 0


def test_interrupt_in_a_trial_stops_the_episode_first(graph, process):
    session = start_session(process)
    graph.start(task="", trials=5, seed=0, timeout=60.0)
    graph.begin_trial(0)
    assert session.interrupt(timeout=5.0) == 0
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 0)
    assert stopped.outcome == "aborted"


def test_a_person_runs_trials_without_a_policy_by_words_on_a_topic(graph, process):
    graph.policy_alive = False
    session = start_session(process, "needs_policy:=false", "teleop:=true", "operator:=ada", "seed:=7")
    graph.arm_mode = ArmStatus.MODE_FREEDRIVE
    goal = graph.start(task="", trials=1, seed=5, timeout=0.0)
    graph.wait_event(EpisodeEvent.RESET_REQUESTED, 0)
    graph.say(EpisodeCommand.START)
    started = graph.wait_event(EpisodeEvent.STARTED, 0)
    graph.say(EpisodeCommand.FAILURE, episode_id="another")
    session.wait_for("got one for another", timeout=5.0)
    graph.say(EpisodeCommand.DISCARD, episode_id=started.episode_id, reason="bumped")
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 0)
    assert (stopped.outcome, stopped.reason, stopped.operator_name) == ("discarded", "bumped", "ada")
    graph.wait_event(EpisodeEvent.RESET_REQUESTED, 1)
    graph.say(EpisodeCommand.START)
    graph.wait_event(EpisodeEvent.STARTED, 1)
    graph.say(EpisodeCommand.STOP)
    graph.wait_event(EpisodeEvent.LABEL_REQUESTED, 1)
    graph.say(EpisodeCommand.SUCCESS, operator_name="eve")
    stopped = graph.wait_event(EpisodeEvent.STOPPED, 1)
    assert (stopped.outcome, stopped.operator_name) == ("success", "eve")
    assert list(graph.answer(goal.get_result_async()).result.outcomes) == ["discarded", "success"]

    graph.events.clear()
    graph.say(EpisodeCommand.SUCCESS)
    session.wait_for("episode/command: no session is running", timeout=5.0)
    graph.say(EpisodeCommand.START)  # begins a session of one trial
    assert graph.wait_event(EpisodeEvent.RESET_REQUESTED, 0).seed == 7
    graph.say(EpisodeCommand.STOP)  # before the trial: never mind
    graph.wait(lambda: graph.events[-1].event == EpisodeEvent.SESSION_ENDED)
    graph.events.clear()
    graph.say(EpisodeCommand.START)
    assert graph.wait_event(EpisodeEvent.RESET_REQUESTED, 0).seed == 8
    graph.say(EpisodeCommand.START)
    graph.wait_event(EpisodeEvent.STARTED, 0)
    graph.say(EpisodeCommand.FAILURE)
    assert graph.wait_event(EpisodeEvent.STOPPED, 0).outcome == "failure"
    graph.wait(lambda: graph.events[-1].event == EpisodeEvent.SESSION_ENDED)
    assert graph.start(task="", trials=1, seed=0, timeout=0.0).accepted
