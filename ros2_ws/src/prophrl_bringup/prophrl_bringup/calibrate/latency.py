"""``prophrl calibrate latency``: how late a camera's stamps are and how late the arm follows, from one wave of
the arm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure camera-to-host and command-to-motion delay by waving the arm; the first goes into the cell file"
LONGEST_S = 0.5  # what a cell description may hold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prophrl_bringup.calibrate import arguments as common

    common.add_cell(parser)
    common.add_simulation(parser)
    parser.add_argument(
        "--delay", type=float, default=0.0, help="simulated cell: keep pictures back so long, s (default: 0)"
    )
    parser.add_argument(
        "--out", type=Path, help="cell file that gets the result (default: the cell's own; simulated: run folder)"
    )


def run(arguments: argparse.Namespace) -> int:
    import cv2
    import numpy as np
    from prophrl_calibration import cell_file
    from prophrl_core.cell import load_cell

    from prophrl_bringup.calibrate import arguments as common
    from prophrl_bringup.calibrate import pictures, waving
    from prophrl_bringup.calibrate.station import Station

    cv2.setNumThreads(1)
    cell = load_cell(arguments.cell)
    camera = common.camera_of(cell, arguments.camera)
    folder = common.run_folder(arguments)
    print(
        f"The arm goes home, then waves there by {1e3 * waving.REACH:.0f} mm for some {waving.SECONDS:.0f} s, in view "
        f"of the camera.",
        flush=True,
    )
    common.word_given(arguments, "Is the way clear?")
    trouble = dict(noise=arguments.noise, delay=arguments.delay)
    with Station(pictures.station_cell(arguments, folder, camera, None), folder, camera, **trouble) as station:
        station.begin()
        delays = waving.wave(station, camera)
        station.end()
    late = cell.camera(camera).latency + delays.camera.seconds
    print(
        f"camera {camera}: stamps {1e3 * delays.camera.seconds:.1f} ms late ({delays.camera.pictures} pictures, the "
        f"arm "
        f"explains {100 * delays.camera.fit:.0f} % of their motion); the arm follows commands {1e3 * delays.arm:.1f} "
        f"ms late",
        flush=True,
    )
    path = common.cell_path(arguments, arguments.out, folder)
    cell_file.set_fields(path, camera, {"latency": round(float(np.clip(late, 0.0, LONGEST_S)), 4)})
    print(f"camera {camera}: latency {1e3 * late:.1f} ms is in {path}; its node subtracts it from every stamp")
    return 0
