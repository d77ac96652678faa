"""Episodes as the recorder writes them, made without a cell: a helix, executed steps that chain, numbered pictures."""

import dataclasses
from pathlib import Path

import numpy as np
from prophrl_cell.image_cdr import image_message
from prophrl_cell.recorder.episode_writer import EpisodeWriter
from prophrl_cell.recorder.message_definitions import load_definition
from prophrl_cell.recorder.topics import topics_for
from prophrl_core import action, se3
from prophrl_core.cell import RecorderSpec, load_cell
from prophrl_core.episode import EpisodeMeta
from prophrl_core.task import load_task
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

INTERFACES = "prophrl_interfaces/msg"
STARTED = 1_795_000_000.0
HEIGHT, WIDTH = 48, 64


def _store():
    store = get_typestore(Stores.ROS2_JAZZY)
    for name in ("ActionChunk", "ArmTarget", "ExecutedAction", "GripperState"):
        types = get_types_from_msg(load_definition(f"{INTERFACES}/{name}").text, f"{INTERFACES}/{name}")
        store.register({key: value for key, value in types.items() if key.startswith(INTERFACES)})
    return store


STORE = _store()


@dataclasses.dataclass
class Recipe:
    """What is recorded, and what is wrong with it."""

    seconds: float = 2.0
    outcome: str = "success"
    seed: int = 7
    cameras: tuple[str, ...] = ("front",)
    teleop_from: float = 99.0  # s at which a person takes over
    picture_gap: tuple[float, float] = (99.0, 99.0)  # s without pictures
    pictures_before: int = 0  # that show the scene before it was laid out
    clock_step: float = 0.0  # s by which the arm's clock jumps in the middle
    wrong_actions: bool = False
    chunk_period: float = 0.1  # s between the actions of the policy's chunks
    policy_shift: float = 0.037  # s between the trial's start and the first step
    meta: dict = dataclasses.field(default_factory=dict)


def pose_at(t: float) -> np.ndarray:
    """Commanded T_base_tcp: a slow helix that also turns."""
    rotation = se3.rotvec_to_matrix([np.pi, 0, 0]) @ se3.rotvec_to_matrix([0, 0, 0.5 * np.sin(t)])
    return se3.transform(rotation, [0.5 + 0.05 * np.sin(2 * t), 0.05 * np.cos(2 * t), 0.3 - 0.02 * t])


def openness_at(t: float) -> float:
    """Commanded: open for a second, then closed."""
    return 1.0 if t < 1.0 else 0.0


def picture(number: int) -> np.ndarray:
    """(H, W, 3): gradients and a bright square that moves with the frame's number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, np.full_like(x, 90)], -1).astype(np.uint8)
    column = 4 * (number % 14)
    image[20:28, column : column + 8] = (250, 240, 20)
    return image


def make_episode(root: Path, name: str, recipe: Recipe | None = None) -> Path:
    """Write one episode folder under ``root`` through the recorder's own writer."""
    recipe = recipe or Recipe()
    task = load_task("grasp_bottle")
    fields = {"task": "grasp_bottle", "instruction": task.instruction, "cell": "sim", "robot": "ur30"}
    fields |= {"policy_version": "sft@0123", "seed": recipe.seed, "trial": 0, "started": STARTED, "operator": "ada"}
    fields |= {"episode_id": name, "spec_id": task.action.id}
    meta = EpisodeMeta(**fields | recipe.meta)
    cell = load_cell("sim")
    cameras = tuple(dataclasses.replace(cell.cameras[0], name=camera) for camera in recipe.cameras)
    cell = dataclasses.replace(cell, cameras=cameras)
    topics = tuple(dataclasses.replace(t, topic=f"/{t.topic}") for t in topics_for(cell))
    writer = EpisodeWriter(root, meta, topics, RecorderSpec(min_free_bytes=0))
    messages = sorted(_messages(recipe), key=lambda message: message[0])
    for t, topic, data in messages:
        writer.write(topic, int((STARTED + t) * 1e9), data)
    writer.close_bag()
    ended = dataclasses.replace(writer.meta, ended=STARTED + recipe.seconds, outcome=recipe.outcome, reason="made")
    return writer.finish(dataclasses.replace(ended, streams=writer.summaries({})))


def _messages(recipe: Recipe):
    for t in np.arange(0.0, recipe.seconds + 0.1, 0.008):
        yield t, "/joint_states", _joints(_arm_clock(recipe, t), t)
    for t in np.arange(0.0, recipe.seconds + 0.1, 0.016):
        yield t, "/arm/tcp_pose", _tcp(_arm_clock(recipe, t), t)
        yield t, "/arm/target", _target(_arm_clock(recipe, t), t)
    for t in np.arange(0.0, recipe.seconds + 0.1, 0.05):
        yield t, "/gripper/state", _gripper(t)
    for step, begin in enumerate(np.arange(recipe.policy_shift, recipe.seconds - 0.3, 0.1)):
        yield begin + 0.1, "/arm/executed_action", _executed(recipe, begin, begin + 0.1, step)
    yield 0.03, "/arm/chunk", _chunk(recipe, 0.03)
    for camera in recipe.cameras:
        for number in range(-recipe.pictures_before, round(30 * (recipe.seconds + 0.1))):
            t = 0.005 + number / 30
            if not recipe.picture_gap[0] <= t < recipe.picture_gap[1]:
                yield t, f"/camera/{camera}/color/image_raw", _image(t, number)


def _arm_clock(recipe: Recipe, t: float) -> float:
    return t + (recipe.clock_step if t > recipe.seconds / 2 else 0.0)


def _header(t: float, frame: str = "base"):
    stamp = STORE.types["builtin_interfaces/msg/Time"](*divmod(round((STARTED + t) * 1e9), 1_000_000_000))
    return STORE.types["std_msgs/msg/Header"](stamp, frame)


def _serialized(kind: str, *values) -> bytes:
    return bytes(STORE.serialize_cdr(STORE.types[kind](*values), kind))


def _pose(T: np.ndarray):
    point, quaternion = STORE.types["geometry_msgs/msg/Point"], STORE.types["geometry_msgs/msg/Quaternion"]
    return STORE.types["geometry_msgs/msg/Pose"](
        point(*T[:3, 3].tolist()), quaternion(*se3.quat_xyzw(T[:3, :3]).tolist())
    )


def joints_at(t: float) -> np.ndarray:
    """Measured joints (6,), rad."""
    return 0.1 * t * np.arange(1.0, 7.0)


def _joints(stamp: float, t: float) -> bytes:
    names = [f"joint_{i}" for i in range(6)]
    return _serialized("sensor_msgs/msg/JointState", _header(stamp), names, joints_at(t), np.empty(0), np.empty(0))


def _tcp(stamp: float, t: float) -> bytes:
    return _serialized("geometry_msgs/msg/PoseStamped", _header(stamp), _pose(pose_at(t)))


def _target(stamp: float, t: float) -> bytes:
    return _serialized(f"{INTERFACES}/ArmTarget", _header(stamp), _pose(pose_at(t)), openness_at(t), joints_at(t))


def _gripper(t: float) -> bytes:
    fields = _header(t), True, True, openness_at(t), openness_at(t), False, False, 0, ""
    return _serialized(f"{INTERFACES}/GripperState", *fields)


def _executed(recipe: Recipe, begin: float, end: float, step: int) -> bytes:
    executed = action.delta(pose_at(begin), pose_at(end), openness_at(end)).astype(np.float32)
    if recipe.wrong_actions:
        executed[:3] *= -1.0
    source = 1 if begin >= recipe.teleop_from else 0
    proposed = executed * np.float32([1.25] * 6 + [1.0])
    fields = _header(_arm_clock(recipe, end)), "", "sft@0123", source, 1, step, proposed, executed, False, 0.1
    return _serialized(f"{INTERFACES}/ExecutedAction", *fields)


def _chunk(recipe: Recipe, t: float) -> bytes:
    header, actions = _header(t), np.zeros(7, np.float32)
    fields = "", load_task("grasp_bottle").action.id, "sft@0123", 0, 1, recipe.chunk_period, 0.05, 1, 7, actions
    return _serialized(f"{INTERFACES}/ActionChunk", header, header.stamp, *fields)


def _image(t: float, number: int) -> bytes:
    return bytes(image_message(round((STARTED + t) * 1e9), "camera", "rgb8", picture(number)))
