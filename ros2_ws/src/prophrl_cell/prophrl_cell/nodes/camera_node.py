"""One RealSense camera as a lifecycle node: colour, aligned depth, intrinsics, status.

``ros2 run prophrl_cell camera_node --ros-args -p cell_file:=sim -p camera:=front``
"""

import sys
import time

from prophrl_core.camera import CameraModel
from prophrl_core.cell import load_cell
from prophrl_core.clock import monotonic_to_realtime_ns
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import LATEST
from prophrl_interfaces.msg import CameraStatus
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from prophrl_cell.camera.capture import CaptureLoop, CaptureState
from prophrl_cell.camera.open_source import source_for
from prophrl_cell.camera.realsense import CapturedFrames
from prophrl_cell.camera.stream_health import StallConfig
from prophrl_cell.image_cdr import image_message

STATUS_PERIOD_S = 0.2


class CameraNode(ProcessNode):
    """Images are published from the capture thread as ready-made wire bytes; the executor only serves status."""

    def __init__(self):
        super().__init__("camera_node")
        self.declare_parameter("camera", "")
        self._capture: CaptureLoop | None = None
        self._timer = None

    def setup(self) -> None:
        cell = load_cell(self.text_parameter("cell_file"))
        self._spec = cell.camera(self.text_parameter("camera"))
        name = self._spec.name
        self._frame_id = f"camera_{name}"
        self._source = source_for(self._spec)
        stall = StallConfig(frames_missing=self._spec.stall_seconds * self._spec.fps, floor_s=self._spec.stall_seconds)
        self._capture = CaptureLoop(self._source, self._spec.fps, self._publish, stall)
        self._colour = self.create_publisher(Image, f"camera/{name}/color/image_raw", qos_profile_sensor_data)
        self._depth = self.create_publisher(
            Image, f"camera/{name}/aligned_depth_to_color/image_raw", qos_profile_sensor_data
        )
        self._info = self.create_publisher(CameraInfo, f"camera/{name}/color/camera_info", qos_profile_sensor_data)
        self._status = self.create_publisher(CameraStatus, f"camera/{name}/status", LATEST)
        self._last_state: tuple[bool, str] | None = None
        self._last_status_s = 0.0
        model = self._capture.open()
        self.get_logger().info(f"camera {name}: {self._source.serial or 'no serial'}, {model.width}x{model.height}")

    def begin(self) -> None:
        self._capture.start()
        self._timer = self.create_timer(STATUS_PERIOD_S, self._report)

    def end(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._capture is not None:
            self._capture.stop()

    def teardown(self) -> None:
        if self._capture is None:
            return
        self._capture.close()
        self._capture = None
        for publisher in (self._colour, self._depth, self._info, self._status):
            self.destroy_publisher(publisher)

    def _publish(self, frames: CapturedFrames, capture_s: float, model: CameraModel) -> None:
        stamp_ns = monotonic_to_realtime_ns(capture_s - self._spec.latency)
        self._colour.publish(image_message(stamp_ns, self._frame_id, "rgb8", frames.colour))
        info = self._info_message(self._spec.measured_model or model)
        info.header.stamp.sec, info.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        self._info.publish(info)
        if frames.depth is not None:
            self._depth.publish(image_message(stamp_ns, self._frame_id, "16UC1", frames.depth))

    def _info_message(self, model: CameraModel) -> CameraInfo:
        info = CameraInfo(width=model.width, height=model.height, distortion_model="plumb_bob")
        info.header.frame_id = self._frame_id
        info.d = list(model.distortion)
        info.k = model.K.ravel().tolist()
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [model.fx, 0.0, model.cx, 0.0, 0.0, model.fy, model.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info

    def _report(self) -> None:
        """Status once a second and as soon as the stream stops or comes back."""
        state = self._capture.state()
        key = (state.streaming, state.reason.split(" s;")[0])
        now = time.monotonic()
        if key == self._last_state and now - self._last_status_s < 1.0:
            return
        if self._last_state is not None and state.streaming != self._last_state[0]:
            self._log_change(state)
        self._last_state, self._last_status_s = key, now
        message = CameraStatus(
            name=self._spec.name, serial=self._source.serial, streaming=state.streaming, reason=state.reason,
            rate=state.rate_hz, frames=state.frames, dropped=state.dropped, restarts=state.restarts,
            clock_offset=state.clock_offset_s, latency=state.latency_s,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._frame_id
        self._status.publish(message)

    def _log_change(self, state: CaptureState) -> None:
        name = self._spec.name
        if state.streaming:
            self.get_logger().info(f"camera {name}: streaming ({state.restarts} restarts so far)")
        else:
            self.get_logger().warning(f"camera {name}: {state.reason}")


def main() -> None:
    sys.exit(run(CameraNode))


if __name__ == "__main__":
    main()
