"""Episodes on disk: written by the recorder's thread, read back by rosbags and by the episode reader."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import yaml
from prophrl_cell.image_cdr import compressed_image_message, image_message, read_image
from prophrl_cell.recorder.episode_recorder import EpisodeRecorder
from prophrl_cell.recorder.repair import repair_episode
from prophrl_cell.recorder.topics import topics_for
from prophrl_core.cell import RecorderSpec, load_cell
from prophrl_core.episode import EpisodeMeta, read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
COLOUR, DEPTH = "/camera/front/color/image_raw", "/camera/front/aligned_depth_to_color/image_raw"


def meta(name="20261121-034500-grasp_bottle-000", started=None):
    started = started or time.time()
    return EpisodeMeta(name, "grasp_bottle", "grasp the bottle", "sim", "ur30", "sft@0123", 7, 0, started)


def recorder_for(root, spec, **options):
    cell = dataclasses.replace(load_cell("sim"), recorder=spec)
    topics = tuple(dataclasses.replace(t, topic="/" + t.topic) for t in topics_for(cell))
    return EpisodeRecorder(root, topics, spec, **options)


def joint_state(stamp_ns, positions):
    types = STORE.types
    header = types["std_msgs/msg/Header"](
        types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000)), "base"
    )
    names, values, empty = [f"j{i}" for i in range(6)], np.array(positions, float), np.empty(0)
    message = types["sensor_msgs/msg/JointState"](header, names, values, empty, empty)
    return bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/JointState"))


def scene(number):
    """A picture with soft gradients and one sharp square that moves with ``number``."""
    y, x = np.mgrid[:240, :320]
    image = np.stack([x * 255 // 320, y * 255 // 240, np.full_like(x, 90)], -1).astype(np.uint8)
    image[100:120, 5 * number : 5 * number + 20] = (250, 240, 20)
    return image


def record_24_frames(recorder, episode, with_depth=True):
    recorder.begin(episode)
    for i in range(24):
        now_ns = int((episode.started + i / 30) * 1e9)
        recorder.put(COLOUR, now_ns, image_message(now_ns, "camera_front", "rgb8", scene(i % 50)))
        if with_depth:
            depth = np.full((240, 320), 700 + i, np.uint16)
            recorder.put(DEPTH, now_ns, image_message(now_ns, "camera_front", "16UC1", depth))
        recorder.put("/joint_states", now_ns, joint_state(now_ns, np.arange(6) + i))
    recorder.end(episode.started + 0.8, "success", "held for 1 s", "ada")
    recorder.close(30)


@pytest.mark.parametrize(("colour", "depth", "error"), [("jpeg", "png", 6.0), ("png", "raw", 0.0), ("raw", "png", 0.0)])
def test_an_episode_reads_back_as_it_was(tmp_path, colour, depth, error):
    recorder = recorder_for(tmp_path, RecorderSpec(colour=colour, depth=depth, min_free_bytes=0), queue_bytes=1 << 30)
    episode = meta()
    record_24_frames(recorder, episode)
    assert [p.name for p in tmp_path.iterdir()] == [episode.episode_id]
    names = sorted(p.name for p in (tmp_path / episode.episode_id).iterdir())
    assert names == [f"{episode.episode_id}.mcap", "episode.json", "metadata.yaml"]
    read = read_episode(tmp_path / episode.episode_id)
    assert (read.meta.outcome, read.meta.reason, read.meta.operator) == ("success", "held for 1 s", "ada")
    assert read.meta.duration == pytest.approx(0.8)
    assert sum(s.lost for s in read.meta.streams) == 0
    frames = list(read.frames("front"))
    assert len(frames) == 24
    np.testing.assert_allclose([t for t, _ in frames], episode.started + np.arange(24) / 30, atol=1e-6)
    for i, (_, image) in enumerate(frames):
        assert np.mean(np.abs(image.astype(int) - scene(i % 50))) <= error / 3
    assert np.percentile(np.abs(frames[7][1].astype(int) - scene(7)), 99) <= error
    depths = [d for _, d in read.depth_frames("front")]
    assert [int(d[0, 0]) for d in depths] == [700 + i for i in range(24)] and depths[3].dtype == np.uint16
    joints = read.series("joint_states")
    np.testing.assert_array_equal(joints["position"], np.arange(24)[:, None] + np.arange(6))
    summary = {s.topic: s for s in read.meta.streams}["/joint_states"]
    assert summary.messages == 24
    assert (summary.rate, summary.max_gap) == (pytest.approx(30, 0.01), pytest.approx(1 / 30, 1e-3))


def test_rosbag2_metadata_is_complete(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1 << 30)
    episode = meta()
    record_24_frames(recorder, episode, with_depth=False)
    folder = tmp_path / episode.episode_id
    information = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    kind = information["version"], information["storage_identifier"], information["ros_distro"]
    assert kind == (9, "mcap", "jazzy")
    assert information["message_count"] == 48
    assert information["relative_file_paths"] == [f"{episode.episode_id}.mcap"]
    assert abs(information["duration"]["nanoseconds"] - 23 / 30 * 1e9) < 1e4
    with AnyReader([folder]) as reader:
        assert reader.message_count == 48
        by_topic = {c.topic: c for c in reader.connections}
    status, stream = by_topic["/arm/status"], by_topic["/joint_states"]
    assert status.msgtype == "prophrl_interfaces/msg/ArmStatus"
    assert status.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
    assert stream.ext.offered_qos_profiles[0].reliability.name == "BEST_EFFORT"
    assert stream.digest == STORE.hash_rihs01("sensor_msgs/msg/JointState")


def test_latched_state_opens_every_bag_and_late_begins_lose_nothing(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    started = time.time()
    info = compressed_image_message(1, "x", "y", b"")  # any bytes: the recorder does not look inside
    recorder.put("/camera/front/color/camera_info", int((started - 60) * 1e9), info)
    for i in range(-10, 10):
        now_ns = int((started + i / 100) * 1e9)
        recorder.put("/joint_states", now_ns, joint_state(now_ns, [i] * 6))
    recorder.begin(meta(started=started))
    recorder.end(started + 1, "failure", "", "")
    recorder.close(30)
    episode = read_episode(tmp_path / meta().episode_id)
    assert episode.topics["/camera/front/color/camera_info"] == 1
    values = episode.series("/joint_states")["position"][:, 0]
    assert values.tolist() == list(range(10)), "only what came since the start"


def test_what_does_not_fit_the_queue_is_counted_and_images_go_first(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1_000_000)
    episode = meta()
    with recorder._wake:  # the writer thread is held off: a disk that stands still
        image = image_message(1, "camera_front", "rgb8", scene(0))
        recorder.begin(episode)
        for i in range(50):
            now_ns = int((episode.started + i / 30) * 1e9)
            recorder.put(COLOUR, now_ns, image)
            recorder.put("/joint_states", now_ns, joint_state(now_ns, [i] * 6))
    recorder.end(episode.started + 2, "success", "", "")
    recorder.close(30)
    streams = {s.topic: s for s in read_meta(tmp_path / episode.episode_id).streams}
    colour, joints = streams[COLOUR + "/compressed"], streams["/joint_states"]
    assert (colour.messages, colour.lost) == (3, 47)
    assert (joints.messages, joints.lost) == (50, 0)


def test_a_broken_image_is_counted_and_costs_nothing_else(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    episode = meta()
    recorder.begin(episode)
    good = image_message(1, "camera_front", "rgb8", scene(0))
    for message in (good, good[:5000], b"\x00\x01\x00\x00" + b"\xff" * 64, b"", good):
        recorder.put(COLOUR, int(episode.started * 1e9), message)
    recorder.end(episode.started + 1, "success", "", "")
    recorder.close(30)
    streams = {s.topic: s for s in read_meta(tmp_path / episode.episode_id).streams}
    assert (streams[COLOUR + "/compressed"].messages, streams[COLOUR + "/compressed"].lost) == (2, 3)


def test_too_little_disk_refuses_the_episode_with_one_line(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=1 << 60))
    recorder.begin(meta())
    deadline = time.monotonic() + 5
    while not recorder.state.fault and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "MiB free on the disk" in recorder.state.fault and "make room" in recorder.state.fault
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="expected a writable folder"):
        recorder_for(tmp_path / "file" / "episodes", RecorderSpec())


def test_an_episode_that_is_never_stopped_is_closed_by_the_next(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    first = meta("20261121-034500-grasp_bottle-000")
    recorder.begin(first)
    recorder.put("/joint_states", int(first.started * 1e9), joint_state(0, [0] * 6))
    recorder.begin(meta("20261121-034500-grasp_bottle-001"))
    recorder.close(30)
    reasons = {p.name[-3:]: read_meta(p).reason for p in tmp_path.iterdir()}
    assert reasons == {
        "000": "the next episode began before this one was stopped", "001": "the recorder was stopped",
    }  # fmt: skip


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
import test_recorder_episode as t, pathlib
recorder = t.recorder_for(pathlib.Path(sys.argv[1]), t.RecorderSpec(min_free_bytes=0))
episode = t.meta()
recorder.begin(episode)
n = 0
while True:
    now_ns = time.time_ns()
    recorder.put("/joint_states", now_ns, t.joint_state(now_ns, [n] * 6))
    if n % 4 == 0:
        recorder.put(t.COLOUR, now_ns, t.image_message(now_ns, "camera_front", "rgb8", t.scene(n % 50)))
    n += 1
    print(n, flush=True)
    time.sleep(0.008)
"""


def test_killed_recorder_loses_at_most_the_last_second_and_repair_makes_it_whole(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
    )
    count = 0
    started = None
    for line in child.stdout:
        count = int(line)
        started = started or time.monotonic()
        if time.monotonic() - started > 3.0:
            break
    child.send_signal(signal.SIGKILL)
    count += len(child.stdout.read().split())
    child.wait()
    child.stdout.close()
    (partial,) = tmp_path.iterdir()
    assert partial.name.endswith(".partial")
    repaired = repair_episode(partial)
    assert repaired.outcome == "aborted" and "recorder ended before the trial did" in repaired.reason
    episode = read_episode(tmp_path / repaired.episode_id)
    numbers = episode.series("/joint_states")["position"][:, 0]
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert count - len(numbers) < 125, "at most the last second of a 125 Hz stream"
    images = [image for _, image in episode.frames("front")]
    assert len(images) >= len(numbers) // 4 - 1
    assert np.mean(np.abs(images[-1].astype(int) - scene((4 * (len(images) - 1)) % 50))) < 2
    with pytest.raises(UserError, match="named <episode>.partial"):
        repair_episode(tmp_path / repaired.episode_id)


def test_image_wire_form_equals_what_rosbags_writes():
    pixels = scene(3)
    types = STORE.types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](5, 7), "camera_front")
    message = types["sensor_msgs/msg/Image"](header, 240, 320, "rgb8", 0, 960, pixels.ravel())
    wire = bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Image"))
    assert image_message(5_000_000_007, "camera_front", "rgb8", pixels) == wire
    view = read_image(wire)
    assert (view.stamp_ns, view.frame_id, view.encoding) == (5_000_000_007, "camera_front", "rgb8")
    np.testing.assert_array_equal(view.pixels, pixels)
    packed = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    compressed = types["sensor_msgs/msg/CompressedImage"](header, "png", np.frombuffer(packed, np.uint8))
    expected = bytes(STORE.serialize_cdr(compressed, "sensor_msgs/msg/CompressedImage"))
    assert compressed_image_message(5_000_000_007, "camera_front", "png", packed) == expected


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "abcd", "camera_front"])
def test_images_survive_every_alignment(frame_id):
    pixels = np.arange(6 * 5, dtype=np.uint16).reshape(6, 5)
    view = read_image(image_message(123, frame_id, "16UC1", pixels))
    assert view.frame_id == frame_id
    np.testing.assert_array_equal(view.pixels, pixels)
    message = STORE.deserialize_cdr(image_message(123, frame_id, "16UC1", pixels), "sensor_msgs/msg/Image")
    assert (message.header.frame_id, message.step, message.height) == (frame_id, 10, 6)
