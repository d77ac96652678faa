"""``prophrl demo``: trials of a task in the simulated cell through the real nodes, and a report on them."""

import argparse
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from prophrl_core.bundle import read_bundle
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.task import load_task

from prophrl_bringup.session import Session, prepare, run_folder
from prophrl_bringup.up import bring_up

HELP = "run trials in the simulated cell with the shipped policy and write runs/demo/report.html"
PARTS = ("ur-rtde", "pyrealsense2", "onnxruntime", "mujoco")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="grasp_bottle", help="task description (default: grasp_bottle)")
    parser.add_argument("--cell", default="sim", help="cell description with a simulator (default: sim)")
    parser.add_argument("--policy", default="sft", help="policy bundle: a name under bundles/<task>/ or a path")
    parser.add_argument("--trials", type=int, default=10, help="number of trials (default: 10)")
    parser.add_argument("--seed", type=int, default=390_000_000, help="trial i is laid out with seed + i; the default is far from what policies train on")
    parser.add_argument("--run", default="demo", help="folder under runs/; an earlier one is kept under another name")
    parser.add_argument("--verbose", action="store_true", help="show the output of every process")


def keep_earlier(run_dir: Path) -> Path | None:
    """Move an earlier run out of the way; returns where it is now."""
    if not run_dir.exists():
        return None
    made = time.strftime("%Y%m%d-%H%M%S", time.localtime(run_dir.stat().st_mtime))
    kept = run_dir.with_name(f"{run_dir.name}-{made}")
    while kept.exists():
        kept = kept.with_name(kept.name + "+")
    run_dir.rename(kept)
    return kept


def facts(session: Session, seconds: float) -> dict[str, str]:
    """What the report's head says of the run."""
    parts = ", ".join(f"{name} {version(name)}" for name in PARTS)
    return {
        "cell": f"{session.cell.name} ({session.cell.robot.model}, {session.cell.robot.servo_rate} Hz servo)",
        "policy": read_bundle(session.bundle).version,
        "scene seeds": f"{session.seed} to {session.seed + session.trials - 1}",
        "wall time": f"{seconds:.0f} s",
        "parts": f"{parts}, Python {platform.python_version()}",
    }


def run(arguments: argparse.Namespace) -> int:
    if arguments.trials < 1:
        raise UserError(f"--trials: expected 1 or more, got {arguments.trials}")
    if load_cell(arguments.cell).simulator is None:
        raise UserError(f"demo: expected a simulated cell, got {arguments.cell!r}; use: prophrl up {arguments.task}")
    kept = keep_earlier(run_folder(arguments.run, arguments.task))
    if kept is not None:
        print(f"prophrl: the earlier run is kept in {kept}")
    names = ("cell", "policy", "trials", "seed", "run")
    session = prepare(arguments.task, {name: str(getattr(arguments, name)) for name in names})
    print(
        f"prophrl: {session.trials} trials of {session.task} in cell {session.cell.name}; logs, episodes and report in "
        f"{session.run_dir}",
        flush=True,
    )
    begun = time.monotonic()
    status = bring_up(session, quiet=not arguments.verbose)
    seconds = time.monotonic() - begun
    print("prophrl: trials done, writing videos and plots", flush=True)
    return show_report(session, facts(session, seconds)) or status


def show_report(session: Session, head: dict[str, str]) -> int:
    """Write the report and print its table; 1 when episodes are missing."""
    from prophrl_bringup.report.page import text_table
    from prophrl_bringup.report.session_report import write_report

    camera = load_task(session.task_file).image.camera
    title = f"{session.task} in cell {session.cell.name}"
    report = write_report(session.run_dir, title, camera, head, session.seed)
    if report.rows:
        print(text_table(report.rows))
    print(f"{report.successes} of {report.trials} trials succeeded; report: {report.page}")
    if report.trials < session.trials:
        print(
            f"prophrl: error: expected {session.trials} finished episodes, found {report.trials}; "
            f"see {session.run_dir / 'logs'}",
            file=sys.stderr,
        )
        return 1
    return 0
