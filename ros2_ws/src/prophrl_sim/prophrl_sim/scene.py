"""A cell and a task as one MuJoCo model: robot, gripper, table, objects, lights and cameras.

The world's frame is the robot's base frame; the table's top is z = 0.
"""

import dataclasses

import mujoco
import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CameraSpec, CellSpec
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec
from prophrl_core.ur_kinematics import JOINT_NAMES

from prophrl_sim import board_mjcf, gripper_mjcf, robot_mjcf
from prophrl_sim.appearance import Appearance, Looks, appearance_assets, world_surroundings
from prophrl_sim.mjcf_text import numbers
from prophrl_sim.tasks import TASK_SCENES
from prophrl_sim.tasks.task_scene import TaskScene

PHYSICS_PERIOD = 0.002  # s
_OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])

_DEFAULTS = """
<default>
  <default class="visual"><geom contype="0" conaffinity="0" group="1" mass="0"/></default>
  <default class="robot_contact">
    <geom contype="2" conaffinity="1" group="1" mass="0" friction="0.6 0.005 0.0001"/>
  </default>
  <default class="pad"><geom contype="2" conaffinity="5" group="1" mass="0" condim="4" priority="1"
    friction="{friction!r} 0.01 0.0001" solimp="0.95 0.99 0.001" solref="0.008 1"/></default>
  <default class="object"><geom contype="1" conaffinity="3" group="1" mass="0" condim="4" friction="0.7 0.005 0.0001"
    solref="0.008 1"/></default>
</default>"""


@dataclasses.dataclass
class Scene:
    """A compiled model with the handles the plant, the cameras and the experts use."""

    cell: CellSpec
    task: TaskSpec
    model: mujoco.MjModel
    data: mujoco.MjData
    task_scene: TaskScene
    appearance: Appearance
    seed: int = -1

    def __post_init__(self):
        self.robot = self.cell.robot.kinematics
        self.arm_qpos = self._slice([self.model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self.arm_dofs = self._slice([self.model.joint(n).dofadr[0] for n in JOINT_NAMES])
        self.arm_actuators = self._slice([self.model.actuator(n).id for n in JOINT_NAMES])
        fingers = [self.model.joint(f"finger_{side}") for side in ("left", "right")]
        self.finger_qpos = self._slice([j.qposadr[0] for j in fingers])
        self.finger_dofs = self._slice([j.dofadr[0] for j in fingers])
        self.gripper_actuator = self.model.actuator("gripper").id
        self.gripper_bodies = [self.model.body(n).id for n in ("gripper", "finger_left", "finger_right")]
        self.stroke = self.cell.gripper.stroke

    @staticmethod
    def _slice(indices: list[int]) -> slice:
        """Consecutive indices as a slice, so that indexing gives views."""
        first = int(indices[0])
        assert list(indices) == list(range(first, first + len(indices))), indices
        return slice(first, first + len(indices))

    def reset(self, seed: int) -> None:
        """Home the arm, open the gripper, and draw placement and looks from ``seed`` alone."""
        self.seed = int(seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self.arm_qpos] = self.cell.robot.home
        self.data.qpos[self.finger_qpos] = self.stroke / 2
        self.data.ctrl[self.arm_actuators] = self.cell.robot.home
        self.data.ctrl[self.gripper_actuator] = self.stroke
        self.task_scene.place(np.random.default_rng([self.seed, 0]))
        self.appearance.draw(np.random.default_rng([self.seed, 1]))
        mujoco.mj_forward(self.model, self.data)
        self.task_scene.settle()

    def tcp_pose(self) -> np.ndarray:
        """True T_base_tcp (4, 4)."""
        site = self.data.site("tcp")
        return se3.transform(site.xmat.reshape(3, 3), site.xpos)


def build(cell: CellSpec, task: TaskSpec, looks: Looks = Looks()) -> Scene:
    """Compile the scene of ``cell`` with the objects of ``task``; not yet reset. ``looks``: what a reset varies."""
    if task.name not in TASK_SCENES:
        raise UserError(f"task '{task.name}': no simulated scene; choose one of {', '.join(sorted(TASK_SCENES))}")
    task_scene = TASK_SCENES[task.name](task)
    model = mujoco.MjModel.from_xml_string(_mjcf(cell, task_scene))
    data = mujoco.MjData(model)
    task_scene.bind(model, data)
    return Scene(cell, task, model, data, task_scene, Appearance(model, looks))


def _mjcf(cell: CellSpec, task_scene: TaskScene) -> str:
    robot = cell.robot.kinematics
    geometry = gripper_mjcf.GripperGeometry(stroke=cell.gripper.stroke)
    gripper = gripper_mjcf.gripper_body(cell.robot.T_tool0_tcp, geometry)
    width = max((c.width for c in cell.cameras), default=640)
    height = max((c.height for c in cell.cameras), default=480)
    cameras = "".join(_camera(c, c.pose) for c in cell.cameras if c.T_tool0_camera is None)
    on_tool = "".join(
        _camera(c, se3.pose_from_rotvec(np.array(c.T_tool0_camera))) for c in cell.cameras if c.T_tool0_camera is not None
    )
    board = cell.simulator.board if cell.simulator is not None else None
    boards = {"tool0": "", "base": ""}
    if board is not None:
        boards[board.frame] = board_mjcf.board_body(board)
    return f"""
<mujoco model="prophrl_{task_scene.task.name}">
  <compiler angle="radian" autolimits="true" balanceinertia="true"/>
  <option timestep="{PHYSICS_PERIOD}" integrator="{task_scene.integrator}" cone="elliptic" impratio="10"/>
  <size memory="32M"/>
  <visual>
    <global offwidth="{width}" offheight="{height}"/>
    <quality numslices="20" numstacks="10" offsamples="{board_mjcf.SAMPLES if board is not None else 0}" shadowsize="0"/>
    <map znear="0.02" zfar="12"/><headlight ambient="0.35 0.35 0.35" diffuse="0.15 0.15 0.15" specular="0 0 0"/>
  </visual>
  <statistic extent="1" center="0.5 0 0.3"/>
  {_DEFAULTS.format(friction=geometry.pad_friction)}
  {appearance_assets(task_scene.colours)}{board_mjcf.board_assets(board.board) if board is not None else ""}
  <worldbody>
    {world_surroundings()}
    {robot_mjcf.robot_body(robot, gripper + on_tool + boards["tool0"])}
    {cameras}{boards["base"]}
    {task_scene.bodies()}
  </worldbody>
  {robot_mjcf.robot_actuators(robot)}
  {gripper_mjcf.gripper_actuation(geometry)}
  {task_scene.sections()}
</mujoco>"""


def _camera(camera: CameraSpec, T: np.ndarray) -> str:
    """MJCF of a camera whose optical frame is at ``T`` (4, 4) in its parent; MuJoCo looks along -z with y up."""
    k = camera.model
    quat = np.roll(se3.quat_xyzw(T[:3, :3] @ _OPTICAL_TO_MUJOCO), 1)
    shift = ((k.width - 1) / 2 - k.cx, (k.height - 1) / 2 - k.cy)
    return (
        f'<camera name="{camera.name}" pos="{numbers(T[:3, 3])}" quat="{numbers(quat)}" '
        f'focalpixel="{k.fx!r} {k.fy!r}" principalpixel="{shift[0]!r} {shift[1]!r}" '
        f'resolution="{k.width} {k.height}" sensorsize="{k.width * 1e-5!r} {k.height * 1e-5!r}"/>'
    )
