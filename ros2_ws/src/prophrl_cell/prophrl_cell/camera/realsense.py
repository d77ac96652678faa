"""RealSense frames from a connected device or from a recording (``injected.py`` has the third opener).

Every source ends in a librealsense frameset and shares what follows: align depth to colour,
intrinsics from the stream profile, hardware timestamp and frame number. One thread calls ``read``.
"""

import dataclasses
import pathlib
import time
from typing import Protocol

import numpy as np
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError

from prophrl_cell.camera import librealsense

SAME_INSTANT_MS = 0.5


@dataclasses.dataclass(frozen=True)
class StreamConfig:
    """What to ask of the device."""

    width: int = 640
    height: int = 480
    rate: int = 30  # Hz


@dataclasses.dataclass(frozen=True)
class CapturedFrames:
    """One colour image with the depth that belongs to it, aligned to the colour optical frame.

    The arrays alias librealsense's frames, of which it has 16: use them, or copy them, before reading on.
    """

    colour: np.ndarray  # (H, W, 3) uint8 RGB
    depth: np.ndarray | None  # (H, W) uint16 mm, 0 unknown; None when the device lost it
    number: int  # the device's colour frame counter
    device_s: float  # hardware timestamp of the colour frame, s
    arrival_s: float  # host monotonic, s


class FrameSource(Protocol):
    """A camera that can be opened, read from one thread, and closed; reopening is allowed."""

    label: str
    serial: str

    def open(self) -> CameraModel:
        """Start streaming; UserError with one line when the camera is not there."""

    def read(self, timeout_s: float) -> CapturedFrames | None:
        """Next frames, or None after ``timeout_s`` without any."""

    def close(self) -> None:
        """Stop streaming; safe to call twice."""


class FrameAligner:
    """Framesets to CapturedFrames. A depth stream that already has the colour camera's view is passed through.

    librealsense's syncer expects frames at their nominal times and lets two frames of one instant pass apart when
    that instant was irregular; where no alignment is needed they are put together again here.
    """

    def __init__(self, rs, depth_scale: float, colour_profile, depth_profile):
        self._to_mm = depth_scale * 1000.0
        self._align = None
        self._lone_depth = None
        if depth_profile is not None and not _same_view(colour_profile, depth_profile):
            self._align = rs.align(rs.stream.color)

    def frames(self, frameset) -> CapturedFrames | None:
        arrival = time.monotonic()
        colour, depth_frame = frameset.get_color_frame(), frameset.get_depth_frame()
        if not colour:
            self._lone_depth = depth_frame
            return None
        depth = None
        if not depth_frame and self._align is None and self._lone_depth:
            apart_ms = abs(self._lone_depth.get_timestamp() - colour.get_timestamp())
            depth_frame = self._lone_depth if apart_ms < SAME_INSTANT_MS else None
        self._lone_depth = None
        if depth_frame:
            if self._align is not None:
                depth_frame = self._align.process(frameset).get_depth_frame()
            depth = np.asanyarray(depth_frame.get_data())
            if abs(self._to_mm - 1.0) > 1e-6:
                depth = np.minimum(depth * self._to_mm + 0.5, 65535.0).astype(np.uint16)
        return CapturedFrames(
            np.asanyarray(colour.get_data()), depth, colour.get_frame_number(), colour.get_timestamp() * 1e-3, arrival
        )


def _same_view(colour_profile, depth_profile) -> bool:
    """Whether depth pixels are colour pixels: equal intrinsics and coinciding optical frames."""
    motion = depth_profile.get_extrinsics_to(colour_profile)
    parallel = np.allclose(motion.rotation, np.eye(3).ravel(), atol=1e-6)
    coincide = np.allclose(motion.translation, 0, atol=1e-6)
    return parallel and coincide and profile_model(colour_profile) == profile_model(depth_profile)


def profile_model(profile) -> CameraModel:
    """Intrinsics of a librealsense video profile."""
    i = profile.as_video_stream_profile().get_intrinsics()
    return CameraModel(i.width, i.height, i.fx, i.fy, i.ppx, i.ppy, tuple(float(c) for c in i.coeffs))


class _PipelineSource:
    """Shared by the openers that librealsense serves through ``rs.pipeline``."""

    def __init__(self, label: str, serial: str):
        self.label = label
        self.serial = serial
        self._pipeline = None

    def _start(self, config) -> CameraModel:
        rs = librealsense.load()
        pipeline = rs.pipeline()
        profile = pipeline.start(config)
        self._pipeline = pipeline
        device = profile.get_device()
        sensor = device.first_depth_sensor()
        for each in device.query_sensors():
            option = rs.option.global_time_enabled  # librealsense's own clock map; ours starts from the hardware's clock
            if each.supports(option) and not each.is_option_read_only(option):
                each.set_option(option, 0)
        colour, depth = profile.get_stream(rs.stream.color), profile.get_stream(rs.stream.depth)
        self._aligner = FrameAligner(rs, sensor.get_depth_scale(), colour, depth)
        self.serial = device.get_info(rs.camera_info.serial_number)
        return profile_model(colour)

    def read(self, timeout_s: float) -> CapturedFrames | None:
        try:
            return self._aligner.frames(self._pipeline.wait_for_frames(max(1, int(timeout_s * 1000))))
        except RuntimeError:  # librealsense's only error: a timeout, an unplugged device, a frame it cannot process
            return None

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            try:
                pipeline.stop()
            except RuntimeError:
                return  # the device is already gone


class SerialSource(_PipelineSource):
    """A connected camera, chosen by its serial number."""

    def __init__(self, label: str, serial: str, stream: StreamConfig):
        super().__init__(label, serial)
        self._wanted = serial
        self._stream = stream

    def open(self) -> CameraModel:
        rs = librealsense.load()
        found = [device.get_info(rs.camera_info.serial_number) for device in rs.context().query_devices()]
        if self._wanted not in found:
            there = ", ".join(found) or "none"
            raise UserError(
                f"camera {self.label}: expected RealSense {self._wanted}, found {there};"
                " plug it in (USB 3) or correct its serial in the cell file"
            )
        config, s = rs.config(), self._stream
        config.enable_device(self._wanted)
        config.enable_stream(rs.stream.color, s.width, s.height, rs.format.rgb8, s.rate)
        config.enable_stream(rs.stream.depth, s.width, s.height, rs.format.z16, s.rate)
        try:
            return self._start(config)
        except RuntimeError as error:
            raise UserError(
                f"camera {self.label}: RealSense {self._wanted} does not stream {s.width}x{s.height} at {s.rate} Hz"
                f" ({error}); check that nothing else uses it and that it is on USB 3"
            ) from None


class RecordingSource(_PipelineSource):
    """A librealsense recording (.db3), played in real time and repeated."""

    def __init__(self, label: str, path: pathlib.Path):
        super().__init__(label, "")
        self._path = path

    def open(self) -> CameraModel:
        rs = librealsense.load()
        if not self._path.is_file():
            raise UserError(
                f"camera {self.label}: expected a recording at {self._path}, found none; correct the cell file"
            )
        config = rs.config()
        try:
            rs.config.enable_device_from_file(config, str(self._path), True)
            model = self._start(config)
        except RuntimeError as error:
            raise UserError(
                f"camera {self.label}: expected a librealsense recording with colour and depth,"
                f" got {self._path} ({error})"
            ) from None
        self._pipeline.get_active_profile().get_device().as_playback().set_real_time(True)
        return model
