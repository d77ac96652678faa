"""``prophrl calibrate check``: has the camera been bumped since it was calibrated? Some twenty seconds."""

from __future__ import annotations

import argparse
import json

HELP = "see whether a camera was bumped since its calibration: six of its poses again, exit status 1 when it was"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prophrl_bringup.calibrate import arguments as common

    common.add_cell(parser)
    common.add_simulation(parser)
    parser.add_argument(
        "--bump",
        type=float,
        nargs=6,
        default=None,
        metavar=("X", "Y", "Z", "RX", "RY", "RZ"),
        help="simulated cell: knock the camera first, m and rad in its own frame",
    )


def run(arguments: argparse.Namespace) -> int:
    import dataclasses
    import time

    import cv2
    import numpy as np
    from prophrl_calibration import check, hand_eye, proposals, way
    from prophrl_calibration.target import Target
    from prophrl_calibration.views import Mount, Problem
    from prophrl_core import se3
    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError

    from prophrl_bringup.calibrate import arguments as common
    from prophrl_bringup.calibrate import pictures
    from prophrl_bringup.calibrate.station import Station

    cv2.setNumThreads(1)
    cell = load_cell(arguments.cell)
    camera = common.camera_of(cell, arguments.camera)
    spec = cell.camera(camera)
    record = spec.calibration
    if record is None:
        raise UserError(
            f"camera {camera}: expected a calibration to check against, found none; run: prophrl calibrate hand-eye"
        )
    pose = spec.T_base_camera if record.mount == "eye_to_hand" else spec.T_tool0_camera
    if hand_eye.calibration_hash(pose, record) != record.hash:
        raise UserError(
            f"camera {camera}: expected pose and calibration {record.hash} to belong together, they were changed; "
            "run: prophrl calibrate hand-eye"
        )
    X, target = se3.pose_from_rotvec(np.array(pose)), Target(**dataclasses.asdict(record.board))
    nominal = proposals.Nominal(
        Mount(record.mount), spec.model, target, X, se3.pose_from_rotvec(np.array(record.T_target))
    )
    home = np.array(cell.robot.home)
    poses = check.poses(cell.robot.kinematics, home, record, X, spec.model)
    folder = common.run_folder(arguments)
    print(pictures.table(poses, cell.robot.T_tool0_tcp), flush=True)
    common.word_given(
        arguments, "Is the way clear, and the board mounted as for the calibration? The arm goes to these poses."
    )
    if cell.simulator is not None:
        arguments.cell = cell.name  # the simulated camera stands where it always stood, not where calibration found it
        nominal_now = pictures.nominal_of(load_cell(cell.name), nominal.mount, camera, target)
    else:
        nominal_now = nominal
    trouble = dict(noise=arguments.noise, bump=arguments.bump or [0.0] * 6)
    with Station(pictures.station_cell(arguments, folder, camera, nominal_now), folder, camera, **trouble) as station:
        station.begin()
        begun = time.monotonic()
        taken = pictures.tour(station, camera, nominal, poses, way.Pace(speed=0.25, turn=1.0))
        seconds = time.monotonic() - begun
        model = station.camera_model()
        station.end()
    if len(taken) < check.FEWEST:
        raise UserError(
            f"check: expected {check.FEWEST} good pictures, got {len(taken)}; free the camera's view of the board"
        )
    verdict = check.judge(Problem(nominal.mount, target, model, tuple(t.view for t in taken)), X)
    (folder / "check.json").write_text(json.dumps(dataclasses.asdict(verdict) | {"calibration": record.hash}) + "\n")
    print(f"camera {camera}: {verdict} ({record.hash} of {record.date}; {seconds:.0f} s)")
    return 1 if verdict.bumped else 0
