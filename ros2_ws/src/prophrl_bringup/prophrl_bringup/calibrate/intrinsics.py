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
    import numpy as np
    from prophrl_calibration import cell_file, intrinsics, proposals, way

    from prophrl_bringup.calibrate import arguments as common
    from prophrl_bringup.calibrate import board_tour, pictures

    asked = board_tour.prepare(arguments)
    camera, target, folder, nominal = asked.camera, asked.target, asked.folder, asked.nominal
    seeded = np.random.default_rng(arguments.seed)
    choice = proposals.candidates(asked.envelope, asked.home, nominal, proposals.Search(), seeded)
    poses, pace = proposals.in_order(proposals.covering(nominal, choice, arguments.poses), asked.home), way.Pace()
    asked.show_and_ask(poses, pace)
    with asked.station() as station:
        station.begin()
        taken = pictures.tour(station, camera, nominal, poses, pace)
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
