"""The tour of a calibration: proposed poses shown, the arm taken there, pictures taken at rest, corners found."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from prophrl_calibration import overlay, proposals, rig, way
from prophrl_calibration.detection import BadPicture, detect
from prophrl_calibration.views import Mount, View
from prophrl_core import se3
from prophrl_core.cell import BoardSpec, CellSpec, load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError

from prophrl_bringup.calibrate.arguments import mounted
from prophrl_bringup.calibrate.station import Station, simulated_cell


@dataclasses.dataclass(frozen=True)
class Taken:
    """One picture of the tour: the view, the joints (6,) and the pixels (H, W, 3)."""

    view: View
    q: np.ndarray
    pixels: np.ndarray


def station_cell(arguments, folder: Path, camera: str, nominal: proposals.Nominal | None) -> Path:
    """The cell description for the nodes; with ``nominal``, a simulated cell gets a board roughly where it should
    be.
    """
    cell = load_cell(arguments.cell)
    if cell.simulator is None:
        return find_config("cells", arguments.cell)
    if nominal is None:
        return simulated_cell(arguments.cell, folder, arguments.robot_ip, None, camera)
    target, hand = nominal.target, nominal.mount is Mount.EYE_TO_HAND
    fields = {f.name: getattr(target, f.name) for f in dataclasses.fields(BoardSpec)}
    pose = se3.pose_to_rotvec(mounted(nominal.Y, arguments.seed))
    board = {"frame": "tool0" if hand else "base", "pose": [float(v) for v in pose], "board": fields}
    return simulated_cell(arguments.cell, folder, arguments.robot_ip, board, camera, None if hand else nominal.X)


def nominal_of(cell: CellSpec, mount: Mount, camera: str, target) -> proposals.Nominal:
    """Where camera and board should be; a camera on the tool where the cell says it is, if it says so."""
    nominal = rig.nominal(cell, mount, camera, target)
    on_tool = cell.camera(camera).T_tool0_camera
    if mount is Mount.EYE_IN_HAND and on_tool is not None:
        nominal = dataclasses.replace(nominal, X=se3.pose_from_rotvec(np.array(on_tool)))
    return nominal


def table(poses: list[proposals.Pose], T_tool0_tcp: np.ndarray) -> str:
    """The poses for the operator: TCP in base (mm), tilt and turn of the tool (deg), distance of the board (mm)."""
    rows = ["pose   x     y     z    tilt  turn  board at"]
    for i, pose in enumerate(poses):
        T = pose.T_base_tool0 @ T_tool0_tcp
        x, y, z = 1e3 * T[:3, 3]
        tilt = np.degrees(np.arccos(np.clip(-T[2, 2], -1, 1)))
        turn = np.degrees(np.arctan2(T[1, 0], T[0, 0]))
        rows.append(
            f"{i + 1:4d} {x:5.0f} {y:5.0f} {z:5.0f}  {tilt:4.0f}  {turn:4.0f}  "
            f"{1e3 * pose.T_camera_target[2, 3]:5.0f} mm"
        )
    return "\n".join(rows)


def preview(poses: list[proposals.Pose], nominal: proposals.Nominal, path: Path) -> None:
    """A picture of what the camera should see at every pose."""
    size, tiles = (nominal.camera.height, nominal.camera.width, 3), []
    for i, pose in enumerate(poses):
        tile = np.full(size, 60, np.uint8)
        overlay.draw_outline(tile, nominal.target, pose.T_camera_target, nominal.camera)
        overlay.draw_axes(tile, pose.T_camera_target, nominal.camera, 0.05, f"pose {i + 1}")
        tiles.append(tile)
    save(path, overlay.page(tiles, 5, 320))


def save(path: Path, rgb: np.ndarray) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def tour(station: Station, camera: str, nominal, poses: list[proposals.Pose], pace: way.Pace, say=print) -> list[Taken]:
    """Take the arm to every pose and a picture at each; a pose it cannot reach or a picture that is no good is named
    and left out."""
    T_tool0_tcp, taken = station.envelope.T_tool0_tcp, []
    home = np.array(station.cell.robot.home)
    for i, pose in enumerate(poses):
        name, goal = f"pose {i + 1}", pose.T_base_tool0 @ T_tool0_tcp
        T, q = station.commanded
        why = way.refused(station.envelope, T, goal, q)
        if why:
            station.move(station.envelope.tcp(home), pace)
            T, q = station.commanded
            why = way.refused(station.envelope, T, goal, q)
        if why:
            say(f"{name}: left out, {why}")
            continue
        station.move(goal, pace)
        pixels, T_base_tool0, q = station.still()
        try:
            corners = detect(pixels, nominal.target)
        except BadPicture as bad:
            say(f"{name}: left out, {bad}")
            save(station.folder / f"bad-{i + 1}.png", pixels)
            continue
        taken.append(Taken(View(name, T_base_tool0, corners), q, pixels))
        say(f"{name}: {len(corners.ids)} of {len(nominal.target.corners_N3)} corners")
    if not taken:
        raise UserError(
            f"camera {camera}: expected the board in the pictures, found it in none of {len(poses)}; see the pictures"
        )
    return taken
