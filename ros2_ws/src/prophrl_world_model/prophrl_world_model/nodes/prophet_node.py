"""Prophet beside the running cell: a preview of each chunk for the operator, and live fidelity. It commands nothing.

``ros2 run prophrl_world_model prophet_node --ros-args -p cell_file:=sim -p task_file:=grasp_bottle -p weights:=FOLDER``
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path

import cv2
import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import EVENTS, LATEST
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.stamps import seconds_of
from prophrl_core.task import load_task
from prophrl_interfaces.msg import ActionChunk, ArmTarget, EpisodeEvent, ExecutedAction, ProphetFidelity
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from prophrl_world_model.live_episode import LiveChunk, LiveEpisode, Prophecy
from prophrl_world_model.live_fidelity import Comparison, RunStep
from prophrl_world_model.live_prophet import LiveConfig, LiveProphet

NICE = 19  # whatever else runs comes first
_HEARD = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)  # never keeps a sender waiting


def _one_thread() -> None:
    """Keep the arithmetic of this process to one core. UserError without torch."""
    try:
        import torch
    except ImportError as error:
        raise UserError(f"prophet_node: expected torch ({error}); run: make setup EXTRAS=train") from None
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


class ProphetNode(ProcessNode):
    """Parameters: ``cell_file``, ``task_file``, ``weights`` (folder), ``sampler_steps`` (0: as suits them), ``device``
    (cpu or cuda).

    A GPU that the policy uses is better left to it.
    """

    def __init__(self) -> None:
        super().__init__("prophet_node")
        for name, default in (("task_file", ""), ("weights", ""), ("sampler_steps", 0), ("device", "cpu")):
            self.declare_parameter(name, default)
        self._live: LiveProphet | None = None
        self._handles: list = []

    def setup(self) -> None:
        _one_thread()
        from prophrl_world_model.live_imagination import ChunkImagination

        self._task = task = load_task(self.text_parameter("task_file"))
        self._camera = camera = load_cell(self.text_parameter("cell_file")).camera(task.image.camera)
        sampler_steps, device = (self.get_parameter(name).value for name in ("sampler_steps", "device"))
        self._imagination = ChunkImagination(
            Path(self.text_parameter("weights")), task, camera, sampler_steps, device
        )  # fmt: skip
        action, self._seen_through = task.action, None
        config = LiveConfig(
            self._imagination.config.chunk_steps, action.step_period, min(1.0 / camera.fps, 0.5 * action.step_period),
            self._imagination.past_clips,
        )  # fmt: skip
        self._clip: deque[tuple[float, np.ndarray]] = deque()
        self._last_image: Image | None = None
        self._steps = K = self._imagination.config.chunk_steps
        size = self._imagination.image.size
        seconds = self._try_out(size, K)
        self._open_topics()
        self._live = LiveProphet(config, self._imagination, self._show, self._report, self.get_logger().info)
        self.get_logger().info(f"{self._imagination.config.name}: {K} frames of {size}x{size} take {seconds:.2f} s")

    def teardown(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
        for destroy, handle in self._handles:
            destroy(handle)
        self._handles.clear()

    def _try_out(self, size: int, K: int) -> float:
        """Imagine once, with all the memory there can be; returns the seconds it takes."""
        blank = np.zeros((size, size, 3), np.uint8)
        past = [np.repeat(blank[None], K + 1, axis=0)] * self._imagination.past_clips
        self._imagination(blank, np.eye(4), 1.0, np.zeros((K, 7)), past, 0)
        begun = time.monotonic()
        self._imagination(blank, np.eye(4), 1.0, np.zeros((K, 7)), past, 0)
        return time.monotonic() - begun

    def _open_topics(self) -> None:
        colour, sensor = f"camera/{self._camera.name}/color", qos_profile_sensor_data
        self._preview = self.create_publisher(Image, "prophet/preview", sensor)
        self._fidelity = self.create_publisher(ProphetFidelity, "prophet/fidelity", LATEST)
        subscriptions = [
            self.create_subscription(Image, f"{colour}/image_raw", self._on_image, sensor),
            self.create_subscription(CameraInfo, f"{colour}/camera_info", self._on_info, sensor),
            self.create_subscription(ArmTarget, "arm/target", self._on_target, sensor),
            self.create_subscription(ActionChunk, "arm/chunk", self._on_chunk, _HEARD),
            self.create_subscription(ExecutedAction, "arm/executed_action", self._on_step, _HEARD),
            self.create_subscription(EpisodeEvent, "episode/event", self._on_event, EVENTS),
        ]
        action = self._task.action  # a clip is played before the next chunk is planned
        timer = self.create_timer(self._task.execute_steps * action.step_period / self._steps, self._play)
        self._handles = [(self.destroy_subscription, s) for s in subscriptions]
        self._handles += [(self.destroy_timer, timer)]
        self._handles += [(self.destroy_publisher, p) for p in (self._preview, self._fidelity)]

    def _on_image(self, message: Image) -> None:
        self._last_image = message
        if not self._live.looking():
            return
        if message.encoding != "rgb8" or (message.width, message.height) != (self._camera.width, self._camera.height):
            expected = f"rgb8 {self._camera.width}x{self._camera.height}"
            came = f"{message.encoding} {message.width}x{message.height}"
            self.get_logger().error(f"camera image: expected {expected}, got {came}", throttle_duration_sec=60.0)
            return
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        pixels = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
        self._live.see(seconds_of(message.header.stamp), crop_and_resize(pixels, self._imagination.image))

    def _on_info(self, message: CameraInfo) -> None:
        seen_through = (message.width, message.height, *message.k, *message.d)
        if seen_through == self._seen_through:
            return
        self._seen_through, k = seen_through, message.k
        if (message.width, message.height) == (self._camera.width, self._camera.height) and len(message.d) == 5:
            camera = CameraModel(message.width, message.height, k[0], k[4], k[2], k[5], tuple(message.d))
            self._imagination.look_through(camera)

    def _on_target(self, message: ArmTarget) -> None:
        p, q = message.tcp.position, message.tcp.orientation
        T_base_tcp = se3.transform(se3.matrix_from_quat(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z]))
        self._live.commanded(seconds_of(message.header.stamp), T_base_tcp, message.openness)

    def _on_event(self, message: EpisodeEvent) -> None:
        if message.event == EpisodeEvent.STARTED and message.task == self._task.name:
            self._live.begin(message.episode_id, seconds_of(message.header.stamp))
            if self._last_image is not None:
                self._on_image(self._last_image)
        elif message.event in (EpisodeEvent.STOPPED, EpisodeEvent.RESET_REQUESTED, EpisodeEvent.SESSION_ENDED):
            self._live.end()

    def _on_chunk(self, message: ActionChunk) -> None:
        action = self._task.action
        actions = np.array(message.actions, dtype=float)
        if message.spec_id != action.id or actions.size != action.chunk_steps * action.dims:
            return  # the arm refuses it as well
        if not np.isfinite(actions).all():
            return
        chunk = LiveChunk(
            (message.source, message.sequence), seconds_of(message.observation_stamp),
            actions.reshape(action.chunk_steps, action.dims)[: self._steps], message,
        )  # fmt: skip
        self._live.planned(message.episode_id, chunk)

    def _on_step(self, message: ExecutedAction) -> None:
        step = RunStep(message.step, seconds_of(message.header.stamp), message.clamped)
        self._live.ran(message.episode_id, (message.source, message.sequence), step)

    def _show(self, prophecy: Prophecy) -> None:
        """On the prophet's thread: a clip to play, unless all of it is past."""
        first, period = prophecy.chunk.observed, self._task.action.step_period
        clip = deque((first + (k + 1) * period, frame) for k, frame in enumerate(prophecy.frames_KHW3))
        if clip[-1][0] > 1e-9 * self.get_clock().now().nanoseconds:
            self._clip = clip

    def _play(self) -> None:
        clip = self._clip
        if not clip:
            return
        t, frame = clip.popleft()
        message = Image(height=frame.shape[0], width=frame.shape[1], step=3 * frame.shape[1], encoding="rgb8")
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(t * 1e9), 1_000_000_000)
        message.header.frame_id = f"camera_{self._camera.name}"
        message.data = frame.tobytes()
        self._preview.publish(message)

    def _report(self, episode: LiveEpisode, prophecy: Prophecy, found: Comparison) -> None:
        """On the prophet's thread: a chunk has run and was compared."""
        chunk: ActionChunk = prophecy.chunk.token
        total = episode.total
        message = ProphetFidelity(
            episode_id=episode.episode_id, source=chunk.source, sequence=chunk.sequence,
            observation_stamp=chunk.observation_stamp, inference_seconds=prophecy.seconds, frames=found.frames,
            epe=found.epe, still_epe=found.still_epe, cosine=found.cosine, psnr=found.psnr, skipped=episode.skipped,
            episode_frames=total.frames, episode_epe=total.epe, episode_still_epe=total.still_epe,
            episode_cosine=total.cosine, episode_psnr=total.psnr,
        )  # fmt: skip
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = f"camera_{self._camera.name}"
        self._fidelity.publish(message)


def main() -> None:
    """Run until SIGINT or SIGTERM; exit 2 with one line when the weights cannot be used."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)  # threads started from here on inherit it
    sys.exit(run(ProphetNode))


if __name__ == "__main__":
    main()
