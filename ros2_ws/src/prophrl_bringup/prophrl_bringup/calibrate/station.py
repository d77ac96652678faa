"""A cell brought up for calibration: the real arm_node and camera_node, a simulated cell where the cell is one."""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import yaml
from geometry_msgs.msg import PoseStamped
from prophrl_calibration import diagnosis, way
from prophrl_cell.arm.envelope import Envelope
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.stamps import seconds_of
from prophrl_core.task import load_task
from prophrl_core.ur_kinematics import forward
from prophrl_interfaces.msg import ArmStatus
from prophrl_sim.control_client import ControlClient
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from prophrl_bringup import environment
from prophrl_bringup.nodes.arm_client import TASK, ArmClient
from prophrl_bringup.one_cell import OneCell
from prophrl_bringup.program import Programs

EPISODE = "00000000-000000-calibration"
_REST_S = 0.25  # before and after a picture
_LIMIT_S = 20.0
_AT_HOME = 0.01  # rad of every commanded joint
_STALL_S = 0.6  # a shorter standstill of the controller's stream ends by itself
STOPPED_MODES = (
    ArmStatus.MODE_HOLD, ArmStatus.MODE_PROTECTIVE_STOP, ArmStatus.MODE_EMERGENCY_STOP, ArmStatus.MODE_FAULT,
)  # fmt: skip


class Station:
    """Context manager. ``cell_file`` is what the nodes are given; programs log into ``folder``.

    ``trouble`` is what a simulated cell's control port is told of the camera before any node starts.
    """

    def __init__(self, cell_file: Path, folder: Path, camera: str, **trouble):
        self.cell: CellSpec = load_cell(cell_file)
        self._file, self.folder, self._camera, self._trouble = cell_file, folder, camera, trouble
        self._programs = Programs(folder, dict(os.environ) | environment.unset_defaults())
        self.control: ControlClient | None = None
        self._image: Image | None = None
        self._info: CameraInfo | None = None
        self.on_image = lambda image: None
        self.task = load_task(TASK)  # its actions move the arm; nothing else of it is used
        self.envelope = Envelope(self.cell, self.task.action)

    def __enter__(self) -> "Station":
        with contextlib.ExitStack() as opened:
            opened.callback(self._programs.stop)
            alone = opened.enter_context(OneCell())
            self._open(alone.check)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self.client.close()
        if self.control is not None:
            self.control.close()
        self._opened.close()

    def _open(self, before_nodes) -> None:
        os.environ.update(environment.unset_defaults())
        name = self._camera
        if self.cell.simulator is not None:
            words = ("--cell", self._file, "--task", TASK)
            self._programs.start("prophrl_sim.serve", *words, name="sim_cell").wait_for("ready on")
            self.control = ControlClient(self.cell.robot.ip, self.cell.simulator.control_port)
            self.control.request("camera", name=name, **self._trouble)
        before_nodes()
        words = ("-p", f"cell_file:={self._file}", "-p", f"task_file:={TASK}")
        self._programs.start("prophrl_cell.nodes.arm_node", "--ros-args", *words, name="arm_node")
        words = ("-r", f"__node:=camera_{name}", "-p", f"cell_file:={self._file}", "-p", f"camera:={name}")
        self._programs.start("prophrl_cell.nodes.camera_node", "--ros-args", *words, name=f"camera_{name}")
        domain = int(os.environ["ROS_DOMAIN_ID"]) if "ROS_DOMAIN_ID" in os.environ else None
        self.client = ArmClient(domain, "calibration")
        subscribe = self.client.node.create_subscription
        subscribe(Image, f"camera/{name}/color/image_raw", self._take_image, qos_profile_sensor_data)
        subscribe(CameraInfo, f"camera/{name}/color/camera_info", self._take_info, qos_profile_sensor_data)
        self._until(lambda: self.client.status is not None, "arm_node")
        self._until(lambda: self._image is not None and self._info is not None, f"pictures of camera {name}")

    def _until(self, predicate, what: str) -> None:
        """As ``ArmClient.until``; a program that ended meanwhile is quoted."""
        end = time.monotonic() + 60.0
        while not predicate():
            self.client.spin(0.05)
            for program in self._programs.running:
                if program.popen.poll() is not None:
                    last = (program.output().strip().splitlines() or ["no word"])[-1]
                    raise UserError(f"{program.log.stem} ended: {last.removeprefix('prophrl: error: ')}")
            if time.monotonic() > end:
                raise UserError(f"expected {what} within 60 s, it did not come; see the logs in {self.folder}")

    def _take_image(self, message: Image) -> None:
        self._image = message
        self.on_image(message)

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message

    def camera_model(self) -> CameraModel:
        """The intrinsics that the camera reports."""
        info = self._info
        return CameraModel(
            info.width, info.height, info.k[0], info.k[4], info.k[2], info.k[5], tuple((list(info.d) + [0.0] * 5)[:5])
        )

    def begin(self) -> None:
        """The arm goes home and takes slow chunks from then on. UserError where it waits for a person's word: the one
        who can see the arm gives it."""
        self.client.until_mode(ArmStatus.MODE_READY, *STOPPED_MODES)
        if self.client.status.mode != ArmStatus.MODE_READY:
            self.client.spin(_STALL_S)
        if self.client.status.mode != ArmStatus.MODE_READY:
            raise UserError(
                f"arm: expected it ready, it has stopped: {self.client.status.reason or 'no reason given'}; make it "
                "safe, unlock and resume (./prophrl operator), then start again"
            )
        self.client.home()
        off = np.abs(self.client.targets[-1].joints - np.array(self.cell.robot.home)).max()
        if off > _AT_HOME:
            raise UserError(f"arm: expected it at home, it was stopped {off:.2f} rad away; start again")
        self.client.start_episode(EPISODE)

    def end(self) -> None:
        self.client.stop_episode()

    @property
    def commanded(self) -> tuple[np.ndarray, np.ndarray]:
        """TCP pose (4, 4) and joints (6,) the arm was last commanded to."""
        q = np.array(self.client.targets[-1].joints)
        return self.envelope.tcp(q), q

    def move(self, T_base_tcp: np.ndarray, pace: way.Pace) -> None:
        """Go straight there, slowly, and come to rest. UserError when the arm does not arrive."""
        pieces = way.chunks(self.commanded[0], T_base_tcp, pace, self.task.action.chunk_steps)
        for actions_TD in pieces:
            self._follow(actions_TD)
        self.client.spin(0.1)
        T, _ = self.commanded
        off = np.linalg.norm(T[:3, 3] - T_base_tcp[:3, 3])
        if off > 0.01:
            limits = sorted({e.limit for e in self.client.events[-10:]})
            raise UserError(
                f"arm: expected to arrive, stopped {1e3 * off:.0f} mm away (limits {', '.join(limits) or 'none'}); "
                f"see arm/status"
            )

    def _follow(self, actions_TD: np.ndarray) -> None:
        client = self.client
        for _ in range(8):
            client.send_chunk(actions_TD, episode=EPISODE, source=2)
            end = time.monotonic() + 3.0
            while time.monotonic() < end and client.status.mode != ArmStatus.MODE_EXECUTING:
                client.spin(0.01)
            if client.status.mode == ArmStatus.MODE_EXECUTING:
                client.until_mode(ArmStatus.MODE_READY, *STOPPED_MODES, limit=_LIMIT_S)
                if client.status.mode != ArmStatus.MODE_READY:
                    raise UserError(f"arm: stopped on the way: {client.status.reason}")
                return
        raise UserError(f"expected the arm to follow a chunk; last limits {[e.limit for e in client.events[-5:]]}")

    def still(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A picture (H, W, 3) with the arm at rest, T_base_tool0 (4, 4) and joints (6,). Asks the joints, not the
        clock.

        Takes another picture where the arm moved during one; UserError when it does not come to rest.
        """
        for _ in range(6):
            begun = self.client.node.get_clock().now().nanoseconds * 1e-9
            end = time.monotonic() + _LIMIT_S
            while seconds_of(self._image.header.stamp) < begun + _REST_S:
                self.client.spin(0.02)
                if time.monotonic() > end:
                    raise UserError(
                        f"camera {self._camera}: expected a picture within {_LIMIT_S:.0f} s, none came; see its log"
                    )
            picture = self._image
            self.client.spin(_REST_S)
            taken = seconds_of(picture.header.stamp)
            recent = self.client.joints[-300:]
            stamps = np.array([seconds_of(m.header.stamp) for m in recent])
            joints = np.array([m.position for m in recent])
            if diagnosis.still(stamps, joints, taken - 0.8 * _REST_S, taken + 0.5 * _REST_S):
                q = joints[(stamps > taken - 0.8 * _REST_S) & (stamps < taken + 0.5 * _REST_S)].mean(0)
                pixels = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
                return pixels, forward(self.cell.robot.kinematics, q), q
        raise UserError("arm: expected it to stand still for a picture, it keeps moving; wait, or hold it")

    def nominal_kinematics_error(self) -> float:
        """Distance (m) between the controller's TCP, which knows the arm's own calibration, and the nominal model's."""
        message = self.tcp_message()
        theirs = np.array([message.pose.position.x, message.pose.position.y, message.pose.position.z])
        ours = self.envelope.tcp(np.array(self.client.joints[-1].position))[:3, 3]
        return float(np.linalg.norm(theirs - ours))

    def tcp_message(self) -> PoseStamped:
        """The newest arm/tcp_pose, with the arm at rest."""
        got = []
        subscription = self.client.node.create_subscription(
            PoseStamped, "arm/tcp_pose", got.append, qos_profile_sensor_data
        )
        self._until(lambda: got, "arm/tcp_pose")
        self.client.node.destroy_subscription(subscription)
        return got[-1]


def simulated_cell(name: str, folder: Path, ip: str, board: dict | None, camera: str, T_tool0_camera=None) -> Path:
    """The cell's description with a board in it or without, for the simulator and the nodes; cameras follow the robot's
    address.
    """
    data = yaml.safe_load(find_config("cells", name).read_text(encoding="utf-8"))
    if ip:
        data["robot"]["ip"] = ip
        for spec in data["cameras"]:
            spec["host"] = ip
    data["simulator"]["board"] = board
    for spec in data["cameras"]:
        spec.pop("calibration", None)
        if spec["name"] == camera and T_tool0_camera is not None:
            spec["T_tool0_camera"] = [float(v) for v in se3.pose_to_rotvec(T_tool0_camera)]
    path = folder / "station.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path
