"""The description of one robot cell: arm, gripper, cameras, safety envelope, recorder, simulator."""

import dataclasses
import os

import numpy as np

from prophrl_core import se3, strict_yaml
from prophrl_core.camera import CameraModel
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.ur_models import UR_MODELS, URModel


@dataclasses.dataclass(frozen=True)
class RobotSpec:
    """The arm. ``tcp`` is T_tool0_tcp as x, y, z (m), rotation vector (rad); ``home`` joint angles (rad)."""

    model: str
    ip: str
    home: tuple[float, float, float, float, float, float]
    tcp: tuple[float, float, float, float, float, float]
    payload_mass: float  # kg, gripper included
    payload_cog: tuple[float, float, float]  # m, in tool0
    servo_rate: int = 125  # Hz, 125 or 500
    home_speed: float = 0.6  # rad/s, fastest joint on the way home
    servo_lookahead: float = 0.05  # s, servoJ
    servo_gain: float = 600.0  # servoJ, 100..2000
    jog_lookahead: float = 0.03  # s, servoJ while an operator jogs: less lag between hand and arm
    watchdog_hz: float = 10.0  # the controller stops by itself when commands come slower than this

    @property
    def kinematics(self) -> URModel:
        """The arm's published model."""
        return UR_MODELS[self.model]

    @property
    def T_tool0_tcp(self) -> np.ndarray:
        """(4, 4)."""
        return se3.pose_from_rotvec(np.array(self.tcp))


@dataclasses.dataclass(frozen=True)
class GripperSpec:
    """A two-finger gripper. ``driver`` is robotiq_socket or tool_output."""

    driver: str = "robotiq_socket"
    port: int = 63352
    stroke: float = 0.085  # m between the fingers when open
    speed: float = 1.0  # 0..1
    force: float = 0.4  # 0..1
    open_output: int = 0  # tool_output: digital pin that opens
    close_output: int = 1


@dataclasses.dataclass(frozen=True)
class BoardSpec:
    """A printed ChArUco board; ``square`` and ``marker`` are edges in metres as measured on the print."""

    columns: int = 7
    rows: int = 5
    square: float = 0.030
    marker: float = 0.022
    dictionary: str = "DICT_5X5_100"


@dataclasses.dataclass(frozen=True)
class CalibrationRecord:
    """How a camera's pose was found; written by ``prophrl calibrate hand-eye``.

    ``mount`` is eye_to_hand or eye_in_hand; ``T_target`` the board in tool0 or base, as x, y, z, rotation vector;
    ``joints`` (rad) where the pictures were taken; ``hash`` sixteen hex digits over all of it and the pose.
    """

    date: str
    tool: str
    mount: str
    board: BoardSpec
    T_target: tuple[float, float, float, float, float, float]
    views: int
    diversity: float  # 0..1
    reprojection_px: float
    held_out_mm: float
    held_out_deg: float
    within_mm: float  # radius that holds the true position nine times in ten
    within_deg: float
    joints: tuple[tuple[float, float, float, float, float, float], ...]
    hash: str


@dataclasses.dataclass(frozen=True)
class CameraSpec:
    """One RealSense. ``source`` is realsense (``serial``), recording (``file``) or injected (``host``, ``port``).

    ``T_base_camera`` is the pose of the colour camera's optical frame as x, y, z, rotation vector. The
    nominal intrinsics are for what has no device yet (simulation, planning); nodes read the device's. With
    ``T_tool0_camera`` the camera is on the tool, and ``T_base_camera`` is where it is with the arm at home.
    ``intrinsics`` (fx, fy, cx, cy, k1, k2, p1, p2, k3) are the camera's own, measured, instead of the device's.
    """

    name: str
    source: str
    T_base_camera: tuple[float, float, float, float, float, float]
    serial: str = ""
    file: str = ""
    host: str = "127.0.0.1"
    port: int = 63400
    width: int = 640
    height: int = 480
    fps: int = 30
    depth: bool = True
    fx: float = 615.0
    fy: float = 615.0
    stall_seconds: float = 1.0  # no frame for this long: restart the pipeline
    T_tool0_camera: tuple[float, float, float, float, float, float] | None = None
    latency: float = 0.0  # s from exposure to what the driver takes for it; subtracted from every stamp
    intrinsics: tuple[float, float, float, float, float, float, float, float, float] | None = None
    calibration: CalibrationRecord | None = None

    @property
    def model(self) -> CameraModel:
        """Nominal intrinsics, principal point in the middle."""
        return CameraModel(self.width, self.height, self.fx, self.fy, (self.width - 1) / 2, (self.height - 1) / 2)

    @property
    def measured_model(self) -> CameraModel | None:
        """The camera's own intrinsics, None where the device's are good enough."""
        if self.intrinsics is None:
            return None
        return CameraModel(self.width, self.height, *self.intrinsics[:4], self.intrinsics[4:])

    @property
    def pose(self) -> np.ndarray:
        """T_base_camera (4, 4)."""
        return se3.pose_from_rotvec(np.array(self.T_base_camera))


@dataclasses.dataclass(frozen=True)
class EnvelopeSpec:
    """Limits enforced in the process that commands motion. ``stop_on`` lists limits that stop rather than clamp."""

    workspace_min: tuple[float, float, float]  # m, TCP in base
    workspace_max: tuple[float, float, float]
    max_tilt: float = 0.6  # rad between the tool axis and straight down
    tcp_speed: float = 0.5  # m/s
    tcp_acceleration: float = 4.0  # m/s^2
    tcp_angular_speed: float = 2.0  # rad/s
    joint_speed: float = 1.5  # rad/s, any joint
    joint_acceleration: float = 15.0  # rad/s^2, any joint
    joint_margin: float = 0.05  # rad kept to every joint limit
    contact_force: float = 80.0  # N at the TCP
    max_chunk_age: float = 0.8  # s from observation to arrival
    teleop_timeout: float = 0.06  # s without a teleop command after which the arm brakes
    stop_on: tuple[str, ...] = ("contact_force",)


@dataclasses.dataclass(frozen=True)
class RecorderSpec:
    """What an episode holds. ``colour`` is jpeg, png or raw; ``depth`` png, zstd, raw or off.

    ``sync_seconds`` is how often what was written is forced to the disk itself, so how much a power cut can cost; a
    killed recorder loses less than that, whatever this says.
    """

    colour: str = "jpeg"
    jpeg_quality: int = 95
    depth: str = "off"
    min_free_bytes: int = 1 << 30
    sync_seconds: float = 1.0


@dataclasses.dataclass(frozen=True)
class SimulatedBoard:
    """A board in the simulated cell, fixed to ``frame`` tool0 or base at ``pose`` (x, y, z, rotation vector).

    Its frame: origin at the top left corner of the print, x along the columns, y down, z into the board.
    """

    frame: str
    pose: tuple[float, float, float, float, float, float]
    board: BoardSpec = BoardSpec()


@dataclasses.dataclass(frozen=True)
class SimulatorSpec:
    """Present when the cell is simulated: what stands on the far side of the wire."""

    control_port: int = 63399
    frame_port: int = 63400
    board: SimulatedBoard | None = None


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """One cell; ``name`` appears in logs and reports."""

    name: str
    robot: RobotSpec
    gripper: GripperSpec
    cameras: tuple[CameraSpec, ...]
    envelope: EnvelopeSpec
    recorder: RecorderSpec = RecorderSpec()
    simulator: SimulatorSpec | None = None

    def camera(self, name: str) -> CameraSpec:
        """The camera called ``name``; UserError when the cell has none such."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        known = ", ".join(c.name for c in self.cameras) or "none"
        raise UserError(f"cell {self.name}: no camera {name!r} (it has: {known}); add it to the cell description")


def load_cell(name_or_path: str | os.PathLike) -> CellSpec:
    """Read and check a cell description by name or path; UserError says what is wrong and where."""
    path = find_config("cells", name_or_path)
    cell = strict_yaml.build(CellSpec, strict_yaml.load(path), path.name)
    checks = [
        (cell.robot.model in UR_MODELS, "robot.model", f"one of {', '.join(UR_MODELS)}", cell.robot.model),
        (cell.robot.servo_rate in (125, 500), "robot.servo_rate", "125 or 500", cell.robot.servo_rate),
        (0.03 <= cell.robot.jog_lookahead <= 0.2, "robot.jog_lookahead", "0.03 to 0.2 s", cell.robot.jog_lookahead),
        (cell.gripper.driver in ("robotiq_socket", "tool_output"), "gripper.driver",
         "robotiq_socket or tool_output", cell.gripper.driver),
        (len({c.name for c in cell.cameras}) == len(cell.cameras), "cameras", "different names",
         [c.name for c in cell.cameras]),
        (cell.recorder.colour in ("jpeg", "png", "raw"), "recorder.colour", "jpeg, png or raw", cell.recorder.colour),
        (cell.recorder.depth in ("png", "zstd", "raw", "off"), "recorder.depth", "png, zstd, raw or off",
         cell.recorder.depth),
        (1 <= cell.recorder.jpeg_quality <= 100, "recorder.jpeg_quality", "1 to 100", cell.recorder.jpeg_quality),
        (cell.recorder.min_free_bytes >= 0, "recorder.min_free_bytes", "0 or more", cell.recorder.min_free_bytes),
        (cell.recorder.sync_seconds > 0, "recorder.sync_seconds", "a positive time", cell.recorder.sync_seconds),
        (cell.envelope.teleop_timeout <= 0.5, "envelope.teleop_timeout", "0.5 s at most", cell.envelope.teleop_timeout),
        (all(a < b for a, b in zip(cell.envelope.workspace_min, cell.envelope.workspace_max)),
         "envelope.workspace", "min below max on every axis", cell.envelope.workspace_min),
    ]
    checks += [
        (c.source in ("realsense", "recording", "injected"), f"cameras.{c.name}.source",
         "realsense, recording or injected", c.source)
        for c in cell.cameras
    ]
    checks += [
        (0.0 <= c.latency <= 0.5, f"cameras.{c.name}.latency", "0 to 0.5 s", c.latency) for c in cell.cameras
    ]
    if cell.simulator is not None and cell.simulator.board is not None:
        frame = cell.simulator.board.frame
        checks.append((frame in ("tool0", "base"), "simulator.board.frame", "tool0 or base", frame))
    positive = ("max_tilt", "tcp_speed", "tcp_acceleration", "tcp_angular_speed", "joint_speed",
                "joint_acceleration", "contact_force", "max_chunk_age", "teleop_timeout")
    checks += [(getattr(cell.envelope, n) > 0, f"envelope.{n}", "a positive limit", getattr(cell.envelope, n))
               for n in positive]
    for good, field, expected, came in checks:
        if not good:
            raise UserError(f"{path.name}: {field}: expected {expected}, got {came!r}")
    return cell
