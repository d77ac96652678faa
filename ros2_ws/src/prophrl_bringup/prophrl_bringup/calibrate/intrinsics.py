"""``prophrl calibrate intrinsics``: do the device's intrinsics hold, and the camera's own where they do not."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "verify the intrinsics that a camera reports; measure its own, with a coverage map, where they are off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prophrl_bringup.calibrate import arguments as common

    common.add_cell(parser)
    parser.add_argument("--poses", type=int, default=20, help="pictures to take (default: 20)")
    common.add_board(parser)
    parser.add_argument(
        "--out", type=Path, help="cell file that gets own values (default: the cell's own; simulated: run folder)"
    )
    parser.add_argument("--force", action="store_true", help="write own values even where those in force hold")
    common.add_simulation(parser)


def run(arguments: argparse.Namespace) -> int:
    import cv2
    import numpy as np
    from prophrl_calibration import cell_file, intrinsics, proposals, rig, way
    from prophrl_calibration.views import Mount
    from prophrl_cell.arm.envelope import Envelope
    from prophrl_core.cell import load_cell
    from prophrl_core.task import load_task

    from prophrl_bringup.calibrate import arguments as common
    from prophrl_bringup.calibrate import pictures
    from prophrl_bringup.calibrate.station import Station

    cv2.setNumThreads(1)
    cell = load_cell(arguments.cell)
    camera = common.camera_of(cell, arguments.camera)
    mount = Mount.EYE_TO_HAND if cell.camera(camera).T_tool0_camera is None else Mount.EYE_IN_HAND
    target = common.board_of(arguments, rig.HAND_TARGET if mount is Mount.EYE_TO_HAND else rig.TABLE_TARGET)
    nominal, home = pictures.nominal_of(cell, mount, camera, target), np.array(cell.robot.home)
    folder = common.run_folder(arguments)
    envelope = Envelope(cell, load_task("grasp_bottle").action)
    choice = proposals.candidates(envelope, home, nominal, proposals.Search(), np.random.default_rng(arguments.seed))
    poses = proposals.in_order(proposals.covering(nominal, choice, arguments.poses), home)
    pictures.preview(poses, nominal, folder / "proposed.png")
    print(f"{len(poses)} poses; what the camera should see: {folder / 'proposed.png'}")
    print(pictures.table(poses, envelope.T_tool0_tcp), flush=True)
    common.word_given(
        arguments, "Is the way clear, and the board fastened? The arm goes home first, then to these poses."
    )
    trouble = dict(noise=arguments.noise)
    with Station(pictures.station_cell(arguments, folder, camera, nominal), folder, camera, **trouble) as station:
        station.begin()
        taken = pictures.tour(station, camera, nominal, poses, way.Pace())
        model = station.camera_model()
        station.end()

    corners = [t.view.corners for t in taken]
    given = intrinsics.verify(corners, target, model)
    pictures.save(folder / "coverage.png", intrinsics.coverage_picture(corners, model))
    print(
        f"the values in force leave {given.rms:.2f} px on {len(corners)} pictures; where corners were: "
        f"{folder / 'coverage.png'}"
    )
    own = intrinsics.estimate(corners, target, model)
    k, s = own.camera, own.sigma
    print(
        f"own values leave {own.rms:.2f} px: fx {k.fx:.1f} +- {s[0]:.1f}, fy {k.fy:.1f} +- {s[1]:.1f}, cx {k.cx:.1f} "
        f"+- {s[2]:.1f}, "
        f"cy {k.cy:.1f} +- {s[3]:.1f}, distortion {', '.join(f'{v:.4f}' for v in k.distortion)}"
    )
    if not intrinsics.own_are_better(given, own) and not arguments.force:
        print(f"camera {camera}: the values in force hold; nothing is written")
        return 0
    path = common.cell_path(arguments, arguments.out, folder)
    values = [round(float(v), 5) for v in (k.fx, k.fy, k.cx, k.cy, *k.distortion)]
    cell_file.set_fields(path, camera, {"intrinsics": values})
    print(
        f"camera {camera}: its own intrinsics are in {path}; its node reports them; now run: prophrl calibrate hand-eye"
    )
    return 0
