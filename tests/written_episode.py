"""Writes small episodes with the real recorder: an arm that follows random executed actions late, and a camera.

For the inspection, which compares episodes; ``made_episodes`` makes one motion in closed form for the conversion.
"""

import dataclasses

import numpy as np
from made_episodes import STARTED, STORE
from prophrl_cell.image_cdr import image_message
from prophrl_cell.recorder.episode_recorder import EpisodeRecorder
from prophrl_cell.recorder.topics import INTERFACES, topics_for
from prophrl_core import se3
from prophrl_core.action import integrate
from prophrl_core.cell import RecorderSpec, load_cell
from prophrl_core.episode import EpisodeMeta

PERIOD, STATE_HZ, CAMERA_HZ = 0.1, 50, 15
T = STORE.types


@dataclasses.dataclass
class Story:
    """What happens. ``stamp`` maps true seconds to what the clock of a topic says (topic, t) -> t."""

    steps: int = 30
    seed: int = 0
    outcome: str = "success"
    camera: bool = True
    period: float = PERIOD
    scale: float = 1.0  # of the motion
    source: int = 0
    error: float = 0.0  # of the executed actions: they say this much more than was done
    lag: float = 0.06  # s by which the arm follows
    stamp: object = staticmethod(lambda topic, t: t)
    picture: object = None  # (t) -> (H, W, 3)


def default_picture(t, size=(48, 64)):
    """A bright square that moves over a grey ground."""
    image = np.full((*size, 3), 90, np.uint8)
    at = int(10 * t) % (size[1] - 10)
    image[20:30, at : at + 10] = (240, 220, 40)
    return image


def write_episode(root, name, story=None):
    """Record one episode under ``root``; returns its folder."""
    story = story or Story()
    rng = np.random.default_rng(story.seed)
    cell = dataclasses.replace(load_cell("sim"), recorder=RecorderSpec(colour="png", depth="off", min_free_bytes=0))
    topics = tuple(dataclasses.replace(t, topic="/" + t.topic) for t in topics_for(cell))
    recorder = EpisodeRecorder(root, topics, cell.recorder, queue_bytes=1 << 30)
    meta = EpisodeMeta(name, "grasp_bottle", "grasp the bottle", "sim", "ur30", "test@0", 7, 0, STARTED)
    waves = np.cumsum(rng.normal(size=(story.steps, 6)), axis=0)
    actions = waves / np.abs(waves).max() * ([0.01] * 3 + [0.03] * 3) * story.scale
    actions = np.concatenate([actions, np.where(np.arange(story.steps) > story.steps // 2, 0.0, 1.0)[:, None]], axis=1)
    start = se3.pose_from_rotvec(np.array([0.5, 0.0, 0.3, np.pi, 0.0, 0.0]))
    path = np.concatenate([start[None], integrate(start, actions)[0]])
    said = actions * ([1 + story.error] * 6 + [1.0])
    begin, end = 0.2, 0.2 + story.steps * story.period
    events = []

    def at(t):
        k = float(np.clip((t - begin) / story.period, 0, story.steps))
        low = min(int(k), story.steps - 1)
        return se3.interpolate(path[low], path[low + 1], k - low), actions[low, 6]

    for t in np.arange(0.0, end + 0.4, 1 / STATE_HZ):
        pose, openness = at(t)
        events.append((t, "/arm/target", _target(story.stamp("/arm/target", t), pose, openness)))
        events.append((t, "/arm/tcp_pose", _pose(story.stamp("/arm/tcp_pose", t), at(t - story.lag)[0])))
        events.append((t, "/gripper/state", _gripper(story.stamp("/gripper/state", t), at(t - 0.1)[1])))
    for i, action in enumerate(said):
        t = begin + (i + 1) * story.period
        message = _executed(story.stamp("/arm/executed_action", t), action, story.source, i)
        events.append((t, "/arm/executed_action", message))
    if story.camera:
        for t in np.arange(0.0, end + 0.4, 1 / CAMERA_HZ):
            topic, picture = "/camera/front/color/image_raw", (story.picture or default_picture)(t)
            events.append((t, topic, image_message(_ns(story.stamp(topic, t)), "camera_front", "rgb8", picture)))
    recorder.begin(meta)
    for t, topic, message in sorted(events, key=lambda event: event[0]):
        recorder.put(topic, _ns(t + 0.004), message)
    recorder.end(STARTED + end + 0.4, story.outcome, "because", "ada")
    recorder.close(30)
    return root / name


def _ns(t):
    return round((STARTED + t) * 1e9)


def _header(t, frame="base"):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](*divmod(_ns(t), 1_000_000_000)), frame)


def _ros_pose(pose):
    quaternion = se3.quat_xyzw(pose[:3, :3])
    point, turn = T["geometry_msgs/msg/Point"], T["geometry_msgs/msg/Quaternion"]
    return T["geometry_msgs/msg/Pose"](point(*pose[:3, 3]), turn(*quaternion))


def _cdr(message, type_name):
    return bytes(STORE.serialize_cdr(message, type_name))


def _target(t, pose, openness):
    name = f"{INTERFACES}/ArmTarget"
    return _cdr(T[name](_header(t), _ros_pose(pose), float(openness), np.zeros(6)), name)


def _pose(t, pose):
    name = "geometry_msgs/msg/PoseStamped"
    return _cdr(T[name](_header(t), _ros_pose(pose)), name)


def _gripper(t, openness):
    name = f"{INTERFACES}/GripperState"
    return _cdr(T[name](_header(t), True, True, float(openness), float(openness), False, False, 0, ""), name)


def _executed(t, action, source, sequence):
    name, values = f"{INTERFACES}/ExecutedAction", np.asarray(action, np.float32)
    return _cdr(T[name](_header(t), "e", "test@0", source, sequence, 0, values, values, False, 0.05), name)
