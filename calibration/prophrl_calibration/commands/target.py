"""``prophrl calibrate target``: the board as a PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write the ChArUco board as a PDF at true scale"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--columns", type=int, default=7)
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--square", type=float, default=0.030, help="edge of a square, m (default: %(default)s)")
    parser.add_argument("--marker", type=float, default=0.022, help="edge of a marker, m (default: %(default)s)")
    parser.add_argument("--dictionary", default="DICT_5X5_100")
    parser.add_argument("--out", type=Path, default=Path("charuco.pdf"), help="file to write (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    from prophrl_calibration.target import Target
    from prophrl_calibration.target_pdf import write_pdf

    target = Target(arguments.columns, arguments.rows, arguments.square, arguments.marker, arguments.dictionary)
    width, height = write_pdf(target, arguments.out)
    print(
        f"{arguments.out}: page of {1e3 * width:.0f} x {1e3 * height:.0f} mm; print without scaling, glue it on "
        f"something flat"
    )
    return 0
