"""Frames through librealsense itself: injected over the frame link, and from a recording made by librealsense."""

import dataclasses
import socket
import time

import numpy as np
import pytest
from frame_server import MODEL, FrameServer
from prophrl_cell.camera import librealsense
from prophrl_cell.camera.capture import CaptureLoop
from prophrl_cell.camera.injected import InjectedSource
from prophrl_cell.camera.open_source import source_for
from prophrl_cell.camera.realsense import RecordingSource, SerialSource, StreamConfig
from prophrl_cell.camera.stream_health import StallConfig
from prophrl_core.cell import CameraSpec
from prophrl_core.errors import UserError

RATE = 60


@pytest.fixture
def server():
    server = FrameServer()
    yield server
    server.close()


@pytest.fixture
def opened():
    """Sources opened in a test, closed after it."""
    sources = []

    def open_one(source):
        sources.append(source)
        return source.open()

    yield open_one
    for source in sources:
        source.close()


def read_some(source, n, timeout_s=10.0):
    frames, deadline = [], time.monotonic() + timeout_s
    while len(frames) < n:
        assert time.monotonic() < deadline, f"only {len(frames)} of {n} frames came"
        frame = source.read(0.2)
        if frame is not None:
            depth = None if frame.depth is None else frame.depth.copy()
            frames.append(dataclasses.replace(frame, colour=frame.colour.copy(), depth=depth))
    return frames


def test_injected_frames_keep_their_numbers_pixels_and_depth(server, opened):
    source = InjectedSource("front", "127.0.0.1", server.port, with_depth=True)
    model = opened(source)
    assert (model.width, model.height) == (MODEL.width, MODEL.height)
    intrinsics = [model.fx, model.fy, model.cx, model.cy, *model.distortion]
    np.testing.assert_allclose(intrinsics, [300.0, 301.0, 160.5, 119.5, *MODEL.distortion], rtol=1e-6)
    frames = read_some(source, 60)
    numbers = [f.number for f in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 60))
    for frame in frames:
        assert np.all(frame.colour == frame.number % 256)
    with_depth = [f for f in frames if f.depth is not None]
    assert len(with_depth) >= 58, "librealsense's syncer may pass the very first frame alone"
    for frame in with_depth:
        assert np.all(frame.depth == frame.number + 1000)
    steps = np.diff([f.device_s for f in frames])
    np.testing.assert_allclose(steps, 1 / RATE, atol=1e-6)


def test_colour_alone_works(opened):
    server = FrameServer(depth=False)
    source = InjectedSource("front", "127.0.0.1", server.port, with_depth=True)
    try:
        opened(source)
        assert all(f.depth is None for f in read_some(source, 5))
    finally:
        source.close()
        server.close()


def test_capture_counts_losses_survives_a_stall_and_a_lost_server(server):
    server.skip = {40, 41, 55}
    seen = []
    stall = StallConfig(1, floor_s=0.4, first_frame_s=0.4, first_backoff_s=0.1, max_backoff_s=0.2)
    loop = CaptureLoop(
        InjectedSource("front", "127.0.0.1", server.port, True), RATE, lambda f, t, m: seen.append((f.number, t)), stall
    )
    loop.open()
    loop.start()
    try:
        wait_until(lambda: seen and seen[-1][0] > 60)
        assert loop.state().dropped == 3
        assert loop.state().streaming
        times = np.array([t for _, t in seen])
        assert np.all(np.diff(times) > 0)
        server.paused.set()
        wait_until(lambda: not loop.state().streaming and loop.state().restarts >= 1)
        server.paused.clear()
        before = len(seen)
        wait_until(lambda: loop.state().streaming and len(seen) > before + 5)
        assert loop.state().dropped == 3, "frames missed while the stream was down are a stall, not drops"
    finally:
        loop.close()


def wait_until(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


def test_missing_frame_server_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(UserError, match=rf"camera front: expected a frame server at 127.0.0.1:{port}, got: .*; start"):
        InjectedSource("front", "127.0.0.1", port, True).open()


def test_missing_serial_number_is_one_clear_line():
    with pytest.raises(UserError, match=r"camera wrist: expected RealSense 0123, found none; plug it in"):
        SerialSource("wrist", "0123", StreamConfig()).open()


@pytest.mark.parametrize("content", [None, b"", b"not a recording" * 100])
def test_bad_recording_is_one_clear_line(tmp_path, content):
    path = tmp_path / "camera.db3"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="camera front: expected a"):
        RecordingSource("front", path).open()


def test_description_picks_the_source():
    spec = CameraSpec("front", "realsense", (0.0,) * 6)
    with pytest.raises(UserError, match="expected a serial number"):
        source_for(spec)
    assert isinstance(source_for(dataclasses.replace(spec, serial="1")), SerialSource)
    assert isinstance(source_for(dataclasses.replace(spec, source="recording", file="x.db3")), RecordingSource)
    assert isinstance(source_for(dataclasses.replace(spec, source="injected")), InjectedSource)


def record(path, baseline_m: float, frames: int):
    """A recording by librealsense's recorder of a colour and a depth camera ``baseline_m`` apart, 1 m from a wall."""
    rs = librealsense.load()
    device = rs.software_device()
    device.register_info(rs.camera_info.serial_number, "777")
    device.register_info(rs.camera_info.name, "recorded")
    streams = {}
    for uid, (name, kind, form, size) in enumerate(
        [("Depth", rs.stream.depth, rs.format.z16, 2), ("Colour", rs.stream.color, rs.format.rgb8, 3)], start=1
    ):
        sensor = device.add_sensor(name)
        if kind == rs.stream.depth:
            sensor.add_read_only_option(rs.option.depth_units, 0.001)
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fps, stream.bpp, stream.fmt = kind, 0, uid, 30, size, form
        stream.width, stream.height = 320, 240
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height, intrinsics.fx, intrinsics.fy = 320, 240, 300.0, 300.0
        intrinsics.ppx, intrinsics.ppy = 160.0, 120.0
        intrinsics.model, intrinsics.coeffs = rs.distortion.brown_conrady, [0.0] * 5
        stream.intrinsics = intrinsics
        sensor.set_metadata(rs.frame_metadata_value.actual_fps, 30_000)
        streams[name] = (sensor, sensor.add_video_stream(stream).as_video_stream_profile(), size)
    offset = rs.extrinsics()
    offset.rotation, offset.translation = np.eye(3).ravel().tolist(), [baseline_m, 0.0, 0.0]
    streams["Depth"][1].register_extrinsics_to(streams["Colour"][1], offset)
    recorder = rs.recorder(str(path), device)
    queue = rs.frame_queue(200)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(queue)
    depth = np.full((240, 320), 1000, np.uint16)
    depth[:, 200:] = 2000
    for number in range(1, frames + 1):
        for name, pixels in (("Depth", depth), ("Colour", np.full((240, 320, 3), number, np.uint8))):
            sensor, profile, size = streams[name]
            video = rs.software_video_frame()
            video.pixels, video.stride, video.bpp = pixels, 320 * size, size
            video.timestamp, video.domain = number * 1e3 / 30, rs.timestamp_domain.hardware_clock
            video.frame_number, video.profile = number, profile
            if name == "Depth":
                video.depth_units = 0.001
            sensor.on_video_frame(video)
        time.sleep(1 / 60)
    for sensor in sensors:
        sensor.stop()
        sensor.close()


def test_recording_replays_with_depth_aligned_to_colour(tmp_path, opened):
    path = tmp_path / "camera.db3"
    record(path, baseline_m=0.1, frames=40)
    source = RecordingSource("front", path)
    model = opened(source)
    assert (model.fx, model.cx, source.serial) == (300.0, 160.0, "777")
    frames = [f for f in read_some(source, 20) if f.depth is not None]
    assert len(frames) >= 10
    for frame in frames:
        assert np.all(frame.colour == frame.number)
    # A wall 1 m away seen from 0.1 m to the side moves by fx * b / z = 30 pixels, one 2 m away by 15.
    row = frames[-1].depth[120]
    # librealsense's align leaves single holes where rounding skips a pixel.
    for part, expected in ((row[40:225], 1000), (row[235:310], 2000)):
        assert set(np.unique(part)) <= {0, expected} and np.mean(part == expected) > 0.9
    assert np.all(row[:25] == 0), "what the depth camera cannot see stays unknown"
