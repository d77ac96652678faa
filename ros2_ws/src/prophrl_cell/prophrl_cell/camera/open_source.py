"""The frame source that a cell description asks for."""

import pathlib

from prophrl_core.cell import CameraSpec
from prophrl_core.errors import UserError

from prophrl_cell.camera.injected import InjectedSource
from prophrl_cell.camera.realsense import FrameSource, RecordingSource, SerialSource, StreamConfig


def source_for(spec: CameraSpec) -> FrameSource:
    """An unopened source for one camera; UserError when the description lacks what its source needs."""
    if spec.source == "realsense":
        if not spec.serial:
            raise UserError(
                f"camera {spec.name}: expected a serial number, got none;"
                " set cameras.serial (rs-enumerate-devices -s lists them)"
            )
        return SerialSource(spec.name, spec.serial, StreamConfig(spec.width, spec.height, spec.fps))
    if spec.source == "recording":
        return RecordingSource(spec.name, pathlib.Path(spec.file).expanduser())
    return InjectedSource(spec.name, spec.host, spec.port, spec.depth)
