"""The policy as a ROS node: frames and commanded targets in, chunks out, bundles swapped between episodes."""

from __future__ import annotations

import sys
import time

import numpy as np
from prophrl_core import se3
from prophrl_core.bundle import read_bundle
from prophrl_core.cell import load_cell
from prophrl_core.clock import realtime_to_monotonic
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.stamps import is_history, nanoseconds_of, seconds_of
from prophrl_core.task import TaskSpec, load_task
from prophrl_interfaces.msg import ActionChunk, ArmTarget, EpisodeEvent, PolicyStatus
from prophrl_interfaces.srv import LoadPolicy
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image

from prophrl_policy.backends import ChunkPolicy, load_policy
from prophrl_policy.runner import ChunkRunner, Episode, Frame, PlannedChunk
from prophrl_policy.scheduling import ScheduleConfig

STATUS_PERIOD_S = 0.5


def load_checked(bundle_path: str, backend: str, task: TaskSpec) -> ChunkPolicy:
    """The bundle on ``backend``, verified for ``task`` up to a smoke inference; UserError in one line."""
    bundle = read_bundle(bundle_path, action=task.action)
    if bundle.manifest.image != task.image:
        raise UserError(
            f"{bundle_path}: expected the image {task.image} of task {task.name}, the bundle was trained on "
            f"{bundle.manifest.image}; use a policy trained for this task"
        )
    policy = load_policy(bundle, backend)
    policy.check_smoke()
    return policy


class PolicyNode(ProcessNode):
    """Parameters: ``task_file``, ``cell_file``, ``bundle`` (folder), ``backend`` (onnx or torch)."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        for name in ("task_file", "bundle"):
            self.declare_parameter(name, "")
        self.declare_parameter("backend", "onnx")
        self._runner: ChunkRunner | None = None
        self._handles: list = []

    def setup(self) -> None:
        self._task = load_task(self.text_parameter("task_file"))
        camera = load_cell(self.text_parameter("cell_file")).camera(self._task.image.camera)
        policy = load_checked(self.text_parameter("bundle"), self.get_parameter("backend").value, self._task)
        action = self._task.action
        schedule = ScheduleConfig(action.step_period, action.chunk_steps, self._task.execute_steps)
        self._runner = ChunkRunner(policy, schedule, self._send)
        self._begun = time.monotonic()
        self._open_topics(camera.name)
        self.get_logger().info(f"policy {policy.bundle.version} on {policy.provider}, waiting for an episode")

    def end(self) -> None:
        if self._runner is not None:
            self._runner.end()

    def teardown(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        for destroy, handle in self._handles:
            destroy(handle)
        self._handles.clear()

    def _open_topics(self, camera: str) -> None:
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        sensor = qos_profile_sensor_data
        self._chunks = self.create_publisher(ActionChunk, "arm/chunk", reliable)
        self._status = self.create_publisher(PolicyStatus, "policy/status", LATEST)
        subscriptions = [
            self.create_subscription(Image, f"camera/{camera}/color/image_raw", self._on_image, sensor),
            self.create_subscription(ArmTarget, "arm/target", self._on_target, sensor),
            self.create_subscription(EpisodeEvent, "episode/event", self._on_event, EVENTS),
        ]
        service = self.create_service(LoadPolicy, "policy/load", self._on_load)
        timer = self.create_timer(STATUS_PERIOD_S, self._publish_status)
        self._handles = [(self.destroy_subscription, s) for s in subscriptions]
        self._handles += [(self.destroy_service, service), (self.destroy_timer, timer)]
        self._handles += [(self.destroy_publisher, p) for p in (self._chunks, self._status)]

    def _on_image(self, message: Image) -> None:
        self._runner.see(Frame(_monotonic(message.header.stamp), lambda: _pixels(message), message.header.stamp))

    def _on_target(self, message: ArmTarget) -> None:
        p, q = message.tcp.position, message.tcp.orientation
        T_base_tcp = se3.transform(se3.matrix_from_quat(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z]))
        self._runner.commanded(_monotonic(message.header.stamp), T_base_tcp, message.openness)

    def _on_event(self, message: EpisodeEvent) -> None:
        if message.event == EpisodeEvent.STARTED and message.episode_id != self._current_id():
            if message.task != self._task.name:
                self.get_logger().error(f"expected task {self._task.name}, the session runs {message.task}; not moving")
                return
            if is_history(seconds_of(message.header.stamp), time.time(), time.monotonic() - self._begun):
                self.get_logger().warning(f"{message.episode_id} began before this node did; waiting for the next")
                return
            started = _monotonic(message.header.stamp)
            self._runner.begin(Episode(message.episode_id, message.instruction, int(message.seed), started))
        elif message.event in (EpisodeEvent.STOPPED, EpisodeEvent.RESET_REQUESTED, EpisodeEvent.SESSION_ENDED):
            self._runner.end()
        self._publish_status()

    def _current_id(self) -> str:
        return self._runner.episode.episode_id if self._runner.episode else ""

    def _on_load(self, request: LoadPolicy.Request, response: LoadPolicy.Response) -> LoadPolicy.Response:
        response.version = self._runner.policy.bundle.version
        if self._runner.episode is not None:
            response.message = "an episode is running; load a policy between episodes"
            return response
        try:
            policy = load_checked(request.bundle, self.get_parameter("backend").value, self._task)
            self._runner.replace(policy)
        except UserError as error:
            response.message = str(error)
            return response
        except Exception as error:  # whoever asked waits for an answer, and the policy that is loaded goes on
            first = (str(error).splitlines() or [""])[0]
            response.message = f"{request.bundle}: cannot be loaded ({type(error).__name__}: {first})"
            return response
        response.success, response.version = True, policy.bundle.version
        response.message = f"loaded {policy.bundle.version}"
        self._publish_status()
        return response

    def _send(self, chunk: PlannedChunk) -> None:
        """On the runner's thread: a chunk goes out."""
        action, bundle = self._task.action, self._runner.policy.bundle
        message = ActionChunk(episode_id=chunk.episode.episode_id, spec_id=action.id, policy_version=bundle.version)
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = "tcp"
        message.observation_stamp = chunk.frame.token
        message.source, message.sequence = ActionChunk.SOURCE_POLICY, chunk.sequence
        message.step_period, message.inference_seconds = action.step_period, chunk.inference_seconds
        message.steps, message.dims = chunk.actions_TD.shape
        message.actions = chunk.actions_TD.astype(np.float32).ravel().tolist()
        self._chunks.publish(message)

    def _publish_status(self) -> None:
        runner = self._runner
        message = PolicyStatus(version=runner.policy.bundle.version, backend=runner.policy.provider)
        message.header.stamp = self.get_clock().now().to_msg()
        message.spec_id, message.reason, message.chunks = self._task.action.id, runner.fault, runner.chunks
        running = PolicyStatus.STATE_RUNNING if runner.episode else PolicyStatus.STATE_IDLE
        message.state = PolicyStatus.STATE_FAULT if runner.fault else running
        message.latency_p50, message.latency_p99 = (1e3 * runner.latency.quantile(q) for q in (0.5, 0.99))
        message.inference_p50 = 1e3 * runner.inference.quantile(0.5)
        self._status.publish(message)


def _monotonic(stamp) -> float:
    return realtime_to_monotonic(nanoseconds_of(stamp))


def _pixels(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 view of an rgb8 message; UserError for another encoding."""
    if message.encoding != "rgb8":
        raise UserError(f"camera image: expected encoding rgb8, got {message.encoding!r}; set the camera to rgb8")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : 3 * message.width].reshape(message.height, message.width, 3)


def main() -> None:
    """Run until SIGINT or SIGTERM; exit 2 with one line when the bundle cannot be used."""
    sys.exit(run(PolicyNode))


if __name__ == "__main__":
    main()
