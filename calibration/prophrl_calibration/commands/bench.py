"""``prophrl calibrate bench``: hand-eye calibration against known truth, with OpenCV's methods beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure hand-eye calibration, the daily check and latency against known truth, OpenCV's methods beside it"
LATENCY_RUNS = 3  # per delay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cell", default="sim", help="cell whose arm, envelope and first camera are used (default: sim)"
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs per mount and case (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="run i has seed + i (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=3.0, help="sensor noise, grey levels (default: %(default)s)")
    parser.add_argument(
        "--cases",
        default="",
        help="comma-separated, default all: usual, six_poses, outliers, blur, biased_poses, check, latency",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(arguments: argparse.Namespace) -> int:
    import cv2
    from prophrl_cell.arm.envelope import Envelope
    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError
    from prophrl_core.figures import report
    from prophrl_core.task import load_task

    from prophrl_calibration import bench_check, bench_figures, bench_hand_eye
    from prophrl_calibration.views import Mount

    others = bench_figures.OTHERS
    known = {case.name: case for case in bench_hand_eye.CASES}
    names = [n.strip() for n in arguments.cases.split(",") if n.strip()] or [*known, *others]
    for name in names:
        if name not in known and name not in others:
            raise UserError(f"--cases: expected some of {', '.join([*known, *others])}, got {name!r}")
    if arguments.seeds < 1:
        raise UserError(f"--seeds: expected 1 or more, got {arguments.seeds}")
    cv2.setNumThreads(1)
    cell = load_cell(arguments.cell)
    envelope = Envelope(cell, load_task("grasp_bottle").action)
    runs = []
    for case in [known[name] for name in names if name in known]:
        for mount in Mount:
            done = [
                bench_hand_eye.run(cell, envelope, mount, case, arguments.seed + i, arguments.noise)
                for i in range(arguments.seeds)
            ]
            print(bench_figures.line(case.name, mount.value, done), flush=True)
            runs += done
    figures = bench_figures.hand_eye(runs, arguments.seed) if runs else []
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    if "check" in names:
        verdicts = [bench_check.check_run(cell, envelope, s, arguments.noise) for s in seeds]
        figures += bench_figures.check(verdicts, arguments.seed)
    if "latency" in names:
        pairs = [(d, s) for d in bench_check.DELAYS for s in seeds[:LATENCY_RUNS]]
        measured = [(d, bench_check.latency_run(cell, envelope, d, s, arguments.noise)) for d, s in pairs]
        figures += bench_figures.latency(measured, arguments.seed)
    report(figures, arguments.json)
    return 0
