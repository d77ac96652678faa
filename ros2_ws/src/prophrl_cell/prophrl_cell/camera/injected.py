"""Frames from a frame server, put through librealsense's software device and syncer.

Everything behind the wire (matching colour with depth, alignment, timestamps, frame numbers) is
librealsense's own code, as with a camera on USB.
"""

import threading

import numpy as np
from prophrl_core import frame_link
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError

from prophrl_cell.camera import librealsense
from prophrl_cell.camera.realsense import CapturedFrames, FrameAligner, profile_model

SYNCER_QUEUE = 8  # framesets; a reader late by more than this loses frames, which the counter shows


class InjectedSource:
    """A camera on the far side of the frame link."""

    def __init__(self, label: str, host: str, port: int, with_depth: bool):
        self.label = label
        self.serial = ""
        self._address = (host, port)
        self._with_depth = with_depth
        self._link: frame_link.FrameReceiver | None = None
        self._sensors: list = []

    def open(self) -> CameraModel:
        try:
            link = frame_link.FrameReceiver(*self._address, self.label)
        except (OSError, frame_link.FrameLinkError) as error:
            host, port = self._address
            raise UserError(
                f"camera {self.label}: expected a frame server at {host}:{port}, got: {error};"
                " start the simulated cell or correct host and port in the cell file"
            ) from None
        rs = librealsense.load()
        info = self._link_info = link.info
        self.serial = info.serial
        self._device = rs.software_device()
        self._syncer = rs.syncer(SYNCER_QUEUE)
        colour = self._add_stream("Colour", frame_link.COLOUR, rs.stream.color, rs.format.rgb8, 3)
        self._streams = {frame_link.COLOUR: colour}
        depth_profile = None
        if self._with_depth and info.depth:
            depth = self._add_stream("Depth", frame_link.DEPTH, rs.stream.depth, rs.format.z16, 2)
            self._streams[frame_link.DEPTH] = depth
            depth_profile = depth[1]
            same = rs.extrinsics()
            same.rotation, same.translation = np.eye(3).ravel().tolist(), [0.0, 0.0, 0.0]
            depth_profile.register_extrinsics_to(colour[1], same)
            colour[1].register_extrinsics_to(depth_profile, same)
        self._device.create_matcher(rs.matchers.default)
        for sensor, profile, _ in self._streams.values():
            sensor.set_metadata(rs.frame_metadata_value.actual_fps, info.fps * 1000)  # mHz; paces the syncer
            sensor.open(profile)
            sensor.start(self._syncer)
            self._sensors.append(sensor)
        self._aligner = FrameAligner(rs, info.depth_scale, colour[1], depth_profile)
        self._link = link
        self._thread = threading.Thread(target=self._inject, args=(rs, link), name=f"inject-{self.label}", daemon=True)
        self._thread.start()
        return profile_model(colour[1])

    def read(self, timeout_s: float) -> CapturedFrames | None:
        try:
            return self._aligner.frames(self._syncer.wait_for_frames(max(1, int(timeout_s * 1000))))
        except RuntimeError:
            return None

    def close(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        link.close()
        self._thread.join(timeout=5.0)
        for sensor in self._sensors:
            sensor.stop()
            sensor.close()
        self._sensors.clear()

    def _add_stream(self, name: str, uid: int, kind, pixel_format, pixel_bytes: int):
        rs, info = librealsense.load(), self._link_info
        sensor = self._device.add_sensor(name)
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid = kind, 0, uid + 1
        stream.width, stream.height, stream.fps = info.model.width, info.model.height, info.fps
        stream.bpp, stream.fmt = pixel_bytes, pixel_format
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height = info.model.width, info.model.height
        intrinsics.fx, intrinsics.fy = info.model.fx, info.model.fy
        intrinsics.ppx, intrinsics.ppy = info.model.cx, info.model.cy
        intrinsics.model, intrinsics.coeffs = rs.distortion.brown_conrady, list(info.model.distortion)
        stream.intrinsics = intrinsics
        if kind == rs.stream.depth:
            sensor.add_read_only_option(rs.option.depth_units, info.depth_scale)
        return sensor, sensor.add_video_stream(stream).as_video_stream_profile(), pixel_bytes

    def _inject(self, rs, link: frame_link.FrameReceiver) -> None:
        """Feed the sensors until the link ends; silence and a dead link show as a stalled stream."""
        while self._link is link:
            try:
                frame = link.receive()
            except TimeoutError:
                continue
            except (OSError, frame_link.FrameLinkError):
                return
            if frame.stream not in self._streams:
                continue
            sensor, profile, pixel_bytes = self._streams[frame.stream]
            video = rs.software_video_frame()
            video.pixels = frame.pixels
            video.stride, video.bpp = frame.pixels.shape[1] * pixel_bytes, pixel_bytes
            video.timestamp, video.domain = frame.timestamp_ms, rs.timestamp_domain.hardware_clock
            video.frame_number = frame.number
            video.profile = profile
            if frame.stream == frame_link.DEPTH:
                video.depth_units = link.info.depth_scale
            sensor.on_video_frame(video)
