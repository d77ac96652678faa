"""What a control-port client may do to a simulated camera: bump it, make its pictures noisy or late.

One row of numbers per camera travels from the physics process to the renderer in shared memory.
"""

import contextlib
import dataclasses
import time

import mujoco
import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CellSpec

from prophrl_sim.control_port import number
from prophrl_sim.frame_state import FrameState

_MOST_NOISE, _MOST_DELAY, _MOST_BUMP = 50.0, 0.5, 0.5  # grey levels, s, m or rad
_OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])
_BANK = 64  # pixels by which noise pictures may be shifted against each other


@dataclasses.dataclass(frozen=True)
class Trouble:
    """``noise``: standard deviation, grey levels. ``delay``: s that a finished picture is kept back. ``bump``: pose of
    the camera now, seen from its optical frame before: x, y, z, rotation vector."""

    noise: float = 0.0
    delay: float = 0.0
    bump: tuple[float, ...] = (0.0,) * 6

    def row(self) -> list[float]:
        return [self.noise, self.delay, *self.bump]

    @classmethod
    def from_row(cls, row: np.ndarray) -> "Trouble":
        return cls(float(row[0]), float(row[1]), tuple(map(float, row[2:])))


WIDTH = len(Trouble().row())


class CameraTroubles:
    """The physics process's end: takes requests, knows where the cameras truly are."""

    def __init__(self, cell: CellSpec, model: mujoco.MjModel):
        self._cell, self._model = cell, model
        self._troubles = {camera.name: Trouble() for camera in cell.cameras}
        self.memory = FrameState.create(WIDTH * max(1, len(cell.cameras)))
        self._publish()

    def request(self, message: dict) -> dict:
        """``{"cmd": "camera", "name", "noise", "delay", "bump"}``: what is left out stays. The answer says where the
        camera truly is (``T_parent_camera``, in base or tool0), for judging a calibration, never for making one."""
        name = message.get("name")
        if name not in self._troubles:
            raise ValueError(f"name: expected one of {', '.join(self._troubles) or 'no camera'}, got {name!r}")
        before = self._troubles[name]
        bump = message.get("bump", before.bump)
        if not isinstance(bump, (list, tuple)) or len(bump) != 6:
            raise ValueError(f"bump: expected 6 numbers, got {bump!r}")
        bump = tuple(number({"bump": v}, "bump", 0.0, -_MOST_BUMP, _MOST_BUMP) for v in bump)
        self._troubles[name] = Trouble(
            number(message, "noise", before.noise, 0.0, _MOST_NOISE),
            number(message, "delay", before.delay, 0.0, _MOST_DELAY), bump,
        )  # fmt: skip
        self._publish()
        T = camera_pose(self._model, name) @ se3.pose_from_rotvec(np.array(bump))
        return {"ok": True, "T_parent_camera": se3.pose_to_rotvec(T).tolist()}

    def _publish(self) -> None:
        rows = [value for camera in self._cell.cameras for value in self._troubles[camera.name].row()]
        self.memory.write(np.array(rows or [0.0] * WIDTH), time.monotonic())


def camera_pose(model: mujoco.MjModel, name: str) -> np.ndarray:
    """Pose (4, 4) of a camera's optical frame in the body that carries it."""
    i = model.camera(name).id
    rotation = se3.matrix_from_quat(np.roll(model.cam_quat[i], -1)) @ _OPTICAL_TO_MUJOCO
    return se3.transform(rotation, model.cam_pos[i])


@contextlib.contextmanager
def bumped(model: mujoco.MjModel, data: mujoco.MjData, name: str, bump: tuple[float, ...]):
    """The camera ``name`` moved by ``bump`` for as long as the context lasts."""
    if not any(bump):
        yield
        return
    i = model.camera(name).id
    before = model.cam_pos[i].copy(), model.cam_quat[i].copy()
    T = camera_pose(model, name) @ se3.pose_from_rotvec(np.array(bump))
    model.cam_pos[i] = T[:3, 3]
    model.cam_quat[i] = np.roll(se3.quat_xyzw(T[:3, :3] @ _OPTICAL_TO_MUJOCO), 1)
    mujoco.mj_camlight(model, data)
    try:
        yield
    finally:
        model.cam_pos[i], model.cam_quat[i] = before


class SensorNoise:
    """Gaussian noise on pictures, cut from one large drawn sheet at a random place and flip each time."""

    def __init__(self, seed: int = 0):
        self._rng, self._sheets = np.random.default_rng(seed), {}

    def add(self, picture: np.ndarray, sigma: float) -> np.ndarray:
        """A noisy copy of a (H, W, 3) uint8 picture."""
        if sigma <= 0:
            return picture
        key = (picture.shape, sigma)
        if key not in self._sheets:
            height, width, channels = picture.shape
            sheet = self._rng.normal(0.0, sigma, (height + _BANK, width + _BANK, channels))
            self._sheets = {key: np.rint(sheet).astype(np.int16)}
        height, width = picture.shape[:2]
        y, x = self._rng.integers(0, _BANK, 2)
        noise = self._sheets[key][y : y + height, x : x + width]
        if self._rng.random() < 0.5:
            noise = noise[::-1]
        return np.clip(picture + noise, 0, 255).astype(np.uint8)
