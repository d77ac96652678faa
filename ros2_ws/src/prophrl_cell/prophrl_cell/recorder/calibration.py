"""The calibration in force while an episode was recorded: cell description, envelope, cameras."""

import contextlib
import dataclasses
import hashlib
import json

from prophrl_core.cell import CellSpec
from prophrl_core.episode import Calibration, CameraCalibration

from prophrl_cell.recorder.wire_reader import WireReader


def description_hash(content) -> str:
    """Sixteen hex digits that change with any field of a dataclass."""
    text = json.dumps(dataclasses.asdict(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def calibration_of(cell: CellSpec) -> Calibration:
    """What the cell description says; intrinsics are not known yet."""
    cameras = tuple(_hashed(CameraCalibration(c.name, c.T_base_camera)) for c in cell.cameras)
    return Calibration(description_hash(cell), description_hash(cell.envelope), cameras)


def with_intrinsics(calibration: Calibration, infos: dict[str, bytes]) -> Calibration:
    """The same with what cameras reported: serialized CameraInfo by the camera's name.

    A message that is not a whole CameraInfo leaves its camera without intrinsics.
    """
    cameras = []
    for camera in calibration.cameras:
        with contextlib.suppress(KeyError, ValueError):
            camera = _hashed(_read_info(camera, infos[camera.name]))
        cameras.append(camera)
    return dataclasses.replace(calibration, cameras=tuple(cameras))


def camera_of(info_topic: str) -> str:
    """Name of the camera whose camera_info this topic is, or nothing."""
    parts = info_topic.strip("/").split("/")
    return parts[-3] if parts[-2:] == ["color", "camera_info"] and len(parts) >= 3 else ""


def _read_info(camera: CameraCalibration, message: bytes) -> CameraCalibration:
    reader = WireReader(message)
    reader.header()
    height, width = reader.numbers("I", 2)
    model, distortion, k = reader.text(), reader.sequence("d"), reader.numbers("d", 9)
    return dataclasses.replace(
        camera, width=width, height=height, k=(k[0], k[4], k[2], k[5]), distortion_model=model, distortion=distortion
    )


def _hashed(camera: CameraCalibration) -> CameraCalibration:
    return dataclasses.replace(camera, hash=description_hash(dataclasses.replace(camera, hash="")))
