"""Makes recorded episodes for tests: a recorder of the simulated cell and numbered messages to put into it."""

import dataclasses
import time

import numpy as np
from prophrl_cell.image_cdr import image_message
from prophrl_cell.recorder.episode_recorder import EpisodeRecorder
from prophrl_cell.recorder.topics import topics_for
from prophrl_core.cell import load_cell
from prophrl_core.episode import EpisodeMeta
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


def wait_for(condition, timeout_s=10.0):
    """Return when ``condition()`` holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)


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
