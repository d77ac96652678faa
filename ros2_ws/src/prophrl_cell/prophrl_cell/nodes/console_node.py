"""The operator console's ROS face: what the page shows comes in, what the operator says goes out.

``ros2 run prophrl_cell console_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle -p episodes_dir:=... \
-p port:=8080``

The executor spins in a thread, the web server has the main thread, the jog is published from a thread of its own:
when the server stalls, heartbeats stop coming and the jog ends by itself.
"""

import os
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import rclpy
from action_msgs.srv import CancelGoal
from geometry_msgs.msg import PoseStamped
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.stop_signal import StopSignal
from prophrl_core.task import load_task
from prophrl_interfaces.action import RunTrials
from prophrl_interfaces.msg import (
    ArmStatus,
    CameraStatus,
    EnvelopeEvent,
    EpisodeCommand,
    EpisodeEvent,
    GripperState,
    PolicyStatus,
    RecorderStatus,
    TeleopStatus,
)
from prophrl_interfaces.srv import LabelEpisode, LoadPolicy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from prophrl_cell.console.cell_link import Answer
from prophrl_cell.console.episode_shelf import EpisodeShelf
from prophrl_cell.console.jog import Jog, JogLimits
from prophrl_cell.console.page import ConsolePage, PageConfig
from prophrl_cell.console.server import ConsoleServer
from prophrl_cell.console.session_view import SessionView
from prophrl_cell.console.views import CellState
from prophrl_cell.nodes import console_messages as convert
from prophrl_cell.nodes.console_answers import answered, call
from prophrl_cell.nodes.console_jog import JogPublisher
from prophrl_cell.nodes.polled_group import subscribe_polled, take

SPIN_TIMEOUT_S = 0.1
TRIGGERS = ("arm/hold", "arm/resume", "arm/unlock", "arm/home", "session/scene_ready")
_LOG = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_COMMANDS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class ConsoleNode(ProcessNode):
    """The ``CellLink`` of the page. Its requests come from the server's thread, the answers from the executor's."""

    def __init__(self):
        super().__init__("console_node")
        for name, default in (
            ("task_file", ""), ("episodes_dir", ""), ("bundles_dir", ""), ("host", "127.0.0.1"), ("port", 8080),
            ("trial_timeout", 0.0), ("linear_speed", JogLimits.linear), ("angular_speed", JogLimits.angular),
        ):  # fmt: skip
            self.declare_parameter(name, default)
        self.state = CellState()
        self._entities: list = []
        self._pictures: dict = {}
        self._tcp: tuple[float, float, float] | None = None

    def setup(self) -> None:
        self._cell = load_cell(self.text_parameter("cell_file"))
        self._task = load_task(self.text_parameter("task_file"))
        episodes = Path(self.text_parameter("episodes_dir")).expanduser()
        self.session = SessionView(self.get_parameter("trial_timeout").value or self._task.horizon_seconds)
        self._asked: tuple | None = None  # a session that no word came of yet: answer, trials, seed
        cameras = [camera.name for camera in self._cell.cameras]
        limits = JogLimits(self.get_parameter("linear_speed").value, self.get_parameter("angular_speed").value)
        root = Path(self.get_parameter("bundles_dir").value or Path(os.environ.get("PROPHRL_ROOT", ".")) / "bundles")
        config = PageConfig(
            self._cell.name, self._task.name, self._task.instruction, tuple(cameras), root / self._task.name, limits
        )
        shelf = EpisodeShelf(episodes, episodes.parent / "console", cameras)
        self.jog = Jog(limits)
        host, port = self.get_parameter("host").value, self.get_parameter("port").value
        page = ConsolePage(config, self, shelf)
        self.server = ConsoleServer(self, self.jog, shelf, page, cameras, host, port)
        print(f"console: {self.server.address(host)}", flush=True)

    def begin(self) -> None:
        state = self.state
        subscribe = self.create_subscription
        subscriptions = [
            subscribe(ArmStatus, "arm/status", lambda m: setattr(state, "arm", convert.arm(m)), LATEST),
            subscribe(GripperState, "gripper/state", lambda m: setattr(state, "gripper", convert.gripper(m)), _NEWEST),
            subscribe(PolicyStatus, "policy/status", lambda m: state.policy_heard(convert.policy(m)), LATEST),
            subscribe(RecorderStatus, "recorder/status", self._recorder_heard, LATEST),
            subscribe(TeleopStatus, "teleop/status", lambda m: setattr(state, "teleop", convert.teleop(m)), LATEST),
            subscribe(EnvelopeEvent, "arm/envelope_event", lambda m: state.envelope_event(convert.envelope(m)), _LOG),
            subscribe(EpisodeEvent, "episode/event", lambda m: self.session.heard(convert.episode(m)), EVENTS),
        ]
        for camera in self._cell.cameras:
            topic = f"camera/{camera.name}"
            subscriptions.append(subscribe(CameraStatus, f"{topic}/status", self._camera_heard, LATEST))
            self._pictures[camera.name] = subscribe_polled(
                self, Image, f"{topic}/color/image_raw", _NEWEST, raw=True
            )
        self._tcp_pose = subscribe_polled(self, PoseStamped, "arm/tcp_pose", _NEWEST)
        subscriptions += [*self._pictures.values(), self._tcp_pose]
        self._triggers = {name: self.create_client(Trigger, name) for name in TRIGGERS}
        self._label = self.create_client(LabelEpisode, "episode/label")
        self._load = self.create_client(LoadPolicy, "policy/load")
        self._cancel = self.create_client(CancelGoal, "run_trials/_action/cancel_goal")
        self._trials = ActionClient(self, RunTrials, "run_trials")
        self._words_out = self.create_publisher(EpisodeCommand, "episode/command", _COMMANDS)
        clients = [*self._triggers.values(), self._label, self._load, self._cancel]
        self._entities = [
            *((self.destroy_subscription, s) for s in subscriptions), *((self.destroy_client, c) for c in clients),
            (lambda client: client.destroy(), self._trials),
            (self.destroy_publisher, self._words_out), (JogPublisher.close, JogPublisher(self, self.jog)),
        ]  # fmt: skip

    def end(self) -> None:
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities, self._pictures = [], {}

    # --- what the page asks ------------------------------------------------------------------------------------------

    def trigger(self, service: str) -> "Future[Answer]":
        return call(self._triggers[service], Trigger.Request(), f"{service}: done")

    def label(self, outcome: str, reason: str, operator: str) -> "Future[Answer]":
        request = LabelEpisode.Request(outcome=outcome, reason=reason, operator_name=operator)
        return call(self._label, request, f"labelled: {outcome}")

    def load_policy(self, bundle: Path) -> "Future[Answer]":
        return call(self._load, LoadPolicy.Request(bundle=str(bundle)), f"loaded {bundle.name}")

    def stop_trial(self, operator: str) -> "Future[Answer]":
        word = EpisodeCommand(command=EpisodeCommand.STOP, operator_name=operator)
        word.header.stamp = self.get_clock().now().to_msg()
        self._words_out.publish(word)
        return answered(True, "asked the session to stop the trial")

    def start_session(self, trials: int, seed: int) -> "Future[Answer]":
        if not self._trials.server_is_ready():
            return answered(False, "run_trials is not offered; is session_node running?")
        answer: Future[Answer] = Future()
        goal = RunTrials.Goal(task=self._task.name, trials=trials, seed=seed)
        sent = self._trials.send_goal_async(goal, feedback_callback=self._fed_back)

        self._asked = (answer, trials, seed)

        def taken(done) -> None:
            handle = done.result()
            if not handle.accepted:
                self._asked = None
                answer.set_result(Answer(False, "the session refused; is another one running? its log says why"))
                return
            self._session_begins()
            handle.get_result_async().add_done_callback(self._session_over)

        sent.add_done_callback(taken)
        return answer

    def cancel_session(self) -> "Future[Answer]":
        """A cancel request without a goal's id and time cancels every goal."""
        return call(self._cancel, CancelGoal.Request(), "the session ends")

    def take_picture(self, camera: str) -> bytes | None:
        return take(self._pictures.get(camera))

    def tcp_position(self) -> tuple[float, float, float] | None:
        pose = take(self._tcp_pose)
        if pose is not None:
            position = pose.pose.position
            self._tcp = (position.x, position.y, position.z)
        return self._tcp

    # --- inside ------------------------------------------------------------------------------------------------------

    def _camera_heard(self, message: CameraStatus) -> None:
        self.state.cameras[message.name] = convert.camera(message)

    def _recorder_heard(self, message: RecorderStatus) -> None:
        self.state.recorder = convert.recorder(message)

    def _session_begins(self) -> None:
        """The session answered, or was heard of first: DDS may lose an answer."""
        if self._asked is not None:
            (answer, trials, seed), self._asked = self._asked, None
            self.session.asked(trials, seed)
            answer.set_result(Answer(True, f"a session of {trials} trials begins"))

    def _fed_back(self, message) -> None:
        self._session_begins()
        self.session.feedback(message.feedback.trial, message.feedback.phase)

    def _session_over(self, done) -> None:
        result = done.result().result
        self.session.ended(result.message or f"session over: {result.successes} of {result.trials} succeeded")


def _spin(executor: SingleThreadedExecutor, ended: threading.Event) -> None:
    while not ended.is_set():
        executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)


def serve(args: list[str] | None = None) -> int:
    """Run until a signal; the exit code (2 when the port or a description is not what it must be)."""
    StopSignal()  # until the server takes the signals over, and again when it gives them back
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = ConsoleNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()
    spinner = threading.Thread(target=_spin, args=(executor, ended), daemon=True)
    try:
        node.trigger_configure()
        if node.failure:
            raise UserError(node.failure)
        if node.get_parameter("autostart").value:
            node.trigger_activate()
        spinner.start()
        node.server.run()
        return 0
    except UserError as error:
        print(f"prophrl: error: {error}", file=sys.stderr, flush=True)
        return 2
    finally:
        ended.set()
        if spinner.is_alive():
            spinner.join(2.0)
        node.end()
        executor.shutdown(timeout_sec=0.5)
        node.destroy_node()
        rclpy.shutdown()


def main() -> None:
    sys.exit(serve())


if __name__ == "__main__":
    main()
