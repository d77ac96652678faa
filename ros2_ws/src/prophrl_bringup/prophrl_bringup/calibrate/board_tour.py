"""How a calibration with a board goes: who and what is meant, poses shown, the operator's word, pictures taken."""

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
from prophrl_calibration import proposals, rig, way
from prophrl_calibration.target import Target
from prophrl_calibration.views import Mount
from prophrl_cell.arm.envelope import Envelope
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.task import load_task

from prophrl_bringup.calibrate import arguments as common
from prophrl_bringup.calibrate import pictures
from prophrl_bringup.calibrate.station import Station
from prophrl_bringup.nodes.arm_client import TASK


@dataclasses.dataclass(frozen=True)
class BoardTour:
    """What was asked for, checked. ``camera`` is a name; ``nominal`` says where camera and board should be."""

    arguments: argparse.Namespace
    cell: CellSpec
    camera: str
    target: Target
    nominal: proposals.Nominal
    folder: Path
    envelope: Envelope

    @property
    def mount(self) -> Mount:
        return self.nominal.mount

    @property
    def home(self) -> np.ndarray:
        """Joints (6,)."""
        return np.array(self.cell.robot.home)

    def show_and_ask(self, poses: list[proposals.Pose], pace: way.Pace) -> None:
        """Show where the arm would go and ask for the operator's word; UserError without it."""
        preview = self.folder / "proposed.png"
        pictures.preview(poses, self.nominal, preview)
        print(f"{len(poses)} poses, at most {pace.speed} m/s; what the camera should see: {preview}")
        print(pictures.table(poses, self.envelope.T_tool0_tcp), flush=True)
        common.word_given(
            self.arguments, "Is the way clear, and the board fastened? The arm goes home first, then to these poses."
        )

    def station(self) -> Station:
        """The cell for this tour, a context manager."""
        cell_file = pictures.station_cell(self.arguments, self.folder, self.camera, self.nominal)
        return Station(cell_file, self.folder, self.camera, noise=self.arguments.noise)


def prepare(arguments: argparse.Namespace, mount: str = "") -> BoardTour:
    """From the command line; ``mount`` where the cell's description is not to decide."""
    cv2.setNumThreads(1)
    cell = load_cell(arguments.cell)
    camera = common.camera_of(cell, arguments.camera)
    on_tool = cell.camera(camera).T_tool0_camera is not None
    where = Mount(mount) if mount else (Mount.EYE_IN_HAND if on_tool else Mount.EYE_TO_HAND)
    target = common.board_of(arguments, rig.HAND_TARGET if where is Mount.EYE_TO_HAND else rig.TABLE_TARGET)
    nominal = pictures.nominal_of(cell, where, camera, target)
    folder = common.run_folder(arguments)
    return BoardTour(arguments, cell, camera, target, nominal, folder, Envelope(cell, load_task(TASK).action))
