"""Episodes on disk: written by the recorder's thread, read back by rosbags and by the episode reader."""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import episode_maker
import numpy as np
import pytest
import yaml
from episode_maker import COLOUR, STORE, joint_state, meta, record_24_frames, recorder_for, scene
from mcap.reader import make_reader
from prophrl_cell.commands import repair
from prophrl_cell.image_cdr import compressed_image_message, image_message, read_image
from prophrl_cell.recorder.calibration import calibration_of
from prophrl_cell.recorder.repair import repair_episode
from prophrl_cell.recorder.topics import topics_for
from prophrl_core.cell import RecorderSpec, load_cell
from prophrl_core.episode import ControlSummary, read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError
from prophrl_interfaces.msg import ExecutedAction
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo


@pytest.mark.parametrize(
    ("colour", "depth", "error"), [("jpeg", "png", 6.0), ("png", "raw", 0.0), ("raw", "zstd", 0.0)]
)
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
    assert summary.bytes == 24 * len(joint_state(0, [0] * 6))


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


def test_the_mcap_reader_opens_a_recording_as_it_is(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1 << 30)
    episode = meta()
    record_24_frames(recorder, episode, with_depth=False)
    with (tmp_path / episode.episode_id / f"{episode.episode_id}.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        statistics = reader.get_summary().statistics
        assert statistics.message_count == 48 and statistics.channel_count == len(topics_for(load_cell("sim")))
        joints = [m.data for _, _, m in reader.iter_messages(topics=["/joint_states"])]
        assert len(joints) == 24 and STORE.deserialize_cdr(joints[5], "sensor_msgs/msg/JointState").position[0] == 5
        assert {r.name for r in reader.iter_metadata()} == {"rosbag2"}


def executed_action(source, clamped=False):
    message = ExecutedAction(episode_id="e", policy_version="sft@0123", source=source, step=1, clamped=clamped)
    message.header.frame_id = "base"
    return serialize_message(message)


def test_who_was_in_control_is_counted(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    episode = meta()
    recorder.begin(episode)
    policy, teleop, replay, freedrive = range(4)
    sources = [policy, policy, teleop, teleop, policy, freedrive, teleop, replay, teleop, 9]
    for i, source in enumerate(sources):
        now_ns = int((episode.started + 0.1 * i) * 1e9)
        recorder.put("/arm/executed_action", now_ns, executed_action(source, clamped=i < 2))
    recorder.put("/arm/executed_action", int((episode.started + 2) * 1e9), b"\x00\x01\x00\x00\x07")
    recorder.end(episode.started + 2, "success", "", "")
    recorder.close(30)
    control = read_meta(tmp_path / episode.episode_id).control
    assert control == ControlSummary(3, 4, 1, 1, other=1, clamped=2, interventions=2)


def test_clock_skew_is_the_median_of_receipt_minus_stamp(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    episode = meta()
    recorder.put("/camera/front/color/camera_info", int((episode.started - 9) * 1e9), joint_state(1, [0] * 6))
    recorder.begin(episode)
    for i in range(3000):
        now_ns = int((episode.started + i / 1000) * 1e9) + 1
        late_ns = 900_000_000 if i % 10 == 0 else 4_000_000  # a few come very late
        recorder.put("/joint_states", now_ns, joint_state(now_ns - late_ns, [0] * 6))
    recorder.end(episode.started + 3, "success", "", "")
    recorder.close(30)
    skews = {s.topic: s.clock_skew for s in read_meta(tmp_path / episode.episode_id).streams}
    assert skews["/joint_states"] == pytest.approx(0.004, abs=1e-5)
    assert skews["/camera/front/color/camera_info"] is None, "what was latched before the start has an age, no skew"
    assert skews["/arm/target"] is None


def test_the_calibration_in_force_is_kept_and_its_hash_follows_it(tmp_path):
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.1, -0.2, 0.0, 0.0, 0.01])
    info.header.frame_id = "camera_front"
    hashes = set()
    for number, fx in enumerate((615.0, 616.0)):
        info.k = [fx, 0.0, 319.5, 0.0, 614.0, 239.5, 0.0, 0.0, 1.0]
        recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
        cell = load_cell("sim")
        episode = dataclasses.replace(meta(f"e{number}"), calibration=calibration_of(cell), operator="grace")
        recorder.begin(episode)
        recorder.put("/camera/front/color/camera_info", int(episode.started * 1e9) + 1, serialize_message(info))
        recorder.end(episode.started + 1, "success", "", "")
        recorder.close(30)
        finished = read_meta(tmp_path / episode.episode_id)
        assert finished.operator == "grace", "the session's operator, where the end named nobody"
        calibration = finished.calibration
        (camera,) = calibration.cameras
        assert (camera.width, camera.height, camera.k) == (640, 480, (fx, 614.0, 319.5, 239.5))
        assert camera.distortion == (0.1, -0.2, 0.0, 0.0, 0.01) and camera.distortion_model == "plumb_bob"
        assert camera.T_base_camera == cell.camera("front").T_base_camera
        hashes.add(camera.hash)
    assert len(hashes) == 2 and len(calibration.cell_hash) == len(calibration.envelope_hash) == 16
    tighter = dataclasses.replace(cell, envelope=dataclasses.replace(cell.envelope, tcp_speed=0.1))
    assert calibration_of(tighter).envelope_hash != calibration.envelope_hash


def test_episodes_of_format_version_1_read_and_newer_ones_are_refused(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1 << 30)
    record_24_frames(recorder, meta(), with_depth=False)
    path = tmp_path / meta().episode_id / "episode.json"
    data = json.loads(path.read_text())
    for name in ("calibration", "control", "disk"):
        del data[name]
    for stream in data["streams"]:
        del stream["clock_skew"], stream["bytes"]
    path.write_text(json.dumps(data | {"format_version": 1}))
    old = read_episode(path.parent)
    assert old.meta.control is None and len(list(old.frames("front"))) == 24
    path.write_text(json.dumps(data | {"format_version": 3}))
    with pytest.raises(UserError, match=r"expected format version 2 or older, got 3; update prophrl"):
        read_episode(path.parent)
    for content in (b"{", b"[]", b"\xff\xfe", b'"x"', b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"episode.json: expected"):
            read_episode(path.parent)


def test_a_damaged_bag_is_one_clear_line(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1 << 30)
    record_24_frames(recorder, meta(), with_depth=False)
    bag = tmp_path / meta().episode_id / f"{meta().episode_id}.mcap"
    whole = bag.read_bytes()
    flipped = bytearray(whole)
    flipped[200:-200:997] = b"\xff" * len(flipped[200:-200:997])
    for content in (whole[: len(whole) // 2], whole[:-30], os.urandom(9999), b"PK\x03\x04" + whole, flipped, b""):
        bag.write_bytes(content)
        with pytest.raises(UserError, match=r"expected a whole bag, got: .*prophrl data repair"):
            episode = read_episode(bag.parent)
            list(episode.frames("front")), episode.series("joint_states")


def test_a_message_of_another_kind_is_one_clear_line(tmp_path):
    recorder, episode = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0)), meta()
    recorder.begin(episode)
    whole = joint_state(1, [0] * 6)
    for length in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"):  # of its frame, the first text
        recorder.put("/joint_states", int(episode.started * 1e9) + 1, whole[:12] + length + whole[16:])
    recorder.end(episode.started + 1, "success", "", "")
    recorder.close(30)
    with pytest.raises(UserError, match=r"expected a whole bag, got: Invalid"):
        read_episode(tmp_path / episode.episode_id).series("joint_states")


def test_repair_makes_a_damaged_episode_readable_and_leaves_a_whole_one_alone(tmp_path, capsys):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0), queue_bytes=1 << 30)
    record_24_frames(recorder, meta(), with_depth=False)
    folder = tmp_path / meta().episode_id
    bag = folder / f"{meta().episode_id}.mcap"
    whole = bag.read_bytes()
    assert repair.run(argparse.Namespace(folders=[folder])) == 0
    assert "whole, nothing to repair" in capsys.readouterr().out and bag.read_bytes() == whole
    bag.write_bytes(whole[: len(whole) * 2 // 5])
    assert repair.run(argparse.Namespace(folders=[folder])) == 0
    episode = read_episode(folder)
    assert (episode.meta.outcome, episode.meta.operator) == ("success", "ada")
    assert "held for 1 s; the bag was damaged; repaired:" in episode.meta.reason
    numbers = episode.series("joint_states")["position"][:, 0]
    assert 0 < len(numbers) < 24 and numbers.tolist() == list(range(len(numbers)))
    for content in (os.urandom(9999), b"", whole[:20]):
        bag.write_bytes(content)
        assert repair.run(argparse.Namespace(folders=[folder])) == 1
        assert "prophrl: error: repair: no whole chunk" in capsys.readouterr().err
        assert folder.is_dir(), "it keeps its name"


def test_latched_state_opens_every_bag_and_late_begins_lose_nothing(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    started = time.time()
    infos = [compressed_image_message(1, "x", "y", bytes(8 * n)) for n in range(4)]  # the recorder does not look inside
    for info, age in zip(infos, (60.0, 0.5, -0.01, -0.05), strict=True):
        recorder.put("/camera/front/color/camera_info", int((started - age) * 1e9), info)
    for i in range(-10, 10):
        now_ns = int((started + i / 100) * 1e9)
        recorder.put("/joint_states", now_ns, joint_state(now_ns, [i] * 6))
    recorder.begin(meta(started=started))
    recorder.end(started + 1, "failure", "", "")
    recorder.close(30)
    episode = read_episode(tmp_path / meta().episode_id)
    with AnyReader([episode.folder]) as reader:
        kept = [raw for c, _, raw in reader.messages() if c.topic.endswith("camera_info")]
    assert [len(raw) for raw in kept] == [len(info) for info in infos[1:]], "the last from before, then the later ones"
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
    header = STORE.types["std_msgs/msg/Header"](STORE.types["builtin_interfaces/msg/Time"](0, 1), "camera_front")
    empty = STORE.types["sensor_msgs/msg/Image"](header, 0, 0, "rgb8", 0, 0, np.empty(0, np.uint8))
    empty = bytes(STORE.serialize_cdr(empty, "sensor_msgs/msg/Image"))
    for message in (good, good[:5000], b"\x00\x01\x00\x00" + b"\xff" * 64, b"", empty, good):
        recorder.put(COLOUR, int(episode.started * 1e9), message)
    recorder.end(episode.started + 1, "success", "", "")
    recorder.close(30)
    streams = {s.topic: s for s in read_meta(tmp_path / episode.episode_id).streams}
    assert (streams[COLOUR + "/compressed"].messages, streams[COLOUR + "/compressed"].lost) == (2, 4)


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
import episode_maker as t, pathlib
from prophrl_core.cell import RecorderSpec
recorder = t.recorder_for(pathlib.Path(sys.argv[1]), RecorderSpec(min_free_bytes=0))
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
    command = [sys.executable, "-c", KILLED, str(tmp_path), os.path.dirname(episode_maker.__file__)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
    with pytest.raises(UserError, match=r"named <episode>.partial"):
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


def test_pictures_from_before_the_start_are_left_out_but_not_those_of_a_clock_that_was_set_back(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    episode = meta()
    started_ns = int(episode.started * 1e9)
    recorder.begin(episode)
    times = (-0.05, -0.02, 0.01, 0.04, -0.3, -3600.0)  # the first also comes before the start
    for number, taken_s in enumerate(times):
        taken_ns = started_ns + int(taken_s * 1e9)
        picture = image_message(taken_ns, "camera_front", "rgb8", scene(number))
        recorder.put(COLOUR, started_ns + (2 * number - 1) * 5_000_000, picture)
    recorder.end(episode.started + 0.1, "success", "", "")
    recorder.close(30)
    read = read_episode(tmp_path / episode.episode_id)
    taken = [t - episode.started for t, _ in read.frames("front")]
    assert taken == pytest.approx([0.01, 0.04, -0.3, -3600.0], abs=1e-5)
    summary = {s.topic: s for s in read.meta.streams}[f"{COLOUR}/compressed"]
    assert (summary.messages, summary.lost) == (4, 0)


def test_a_camera_whose_stamps_lag_costs_no_more_than_the_first_second(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    episode = meta()
    started_ns = int(episode.started * 1e9)
    recorder.begin(episode)
    for number in range(60):
        received_ns = started_ns + number * 33_000_000
        taken_ns = min(received_ns - 900_000_000, started_ns - 100_000_000)
        recorder.put(COLOUR, received_ns, image_message(taken_ns, "camera_front", "rgb8", scene(number % 50)))
    recorder.end(episode.started + 2.0, "success", "", "")
    recorder.close(30)
    assert len(list(read_episode(tmp_path / episode.episode_id).frames("front"))) == 29
