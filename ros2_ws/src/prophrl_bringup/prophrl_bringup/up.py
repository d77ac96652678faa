"""``prophrl up TASK``: bring a cell up on a task; what the task's launch file starts, without ros2 launch."""

import argparse
import asyncio

from prophrl_bringup.one_cell import OneCell
from prophrl_bringup.processes import session_processes
from prophrl_bringup.session import ARGUMENTS, Session, prepare
from prophrl_bringup.supervisor import Supervisor

HELP = "bring a cell up on a task: the same processes as the task's launch file"
INTERRUPTED_STATUS = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="task description: grasp_bottle, place_cube, ..., or a path to a .yaml")
    for name, (default, meaning) in ARGUMENTS.items():
        shown = f" (default: {default})" if default else ""
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default=default, help=meaning + shown)
    parser.add_argument("--quiet", action="store_true", help="output of the processes to their log files only")


def bring_up(session: Session, quiet: bool = False) -> int:
    """Run a session to its end: its trials, Ctrl-C, or a process that it cannot do without.

    Returns 0 when the trials ran or a session without trials was ended by Ctrl-C, 1 when the session ended early, 130
    when Ctrl-C came before the trials were done. UserError when a process died, and where another cell is on the graph.
    """
    with OneCell() as alone:
        supervisor = Supervisor(session_processes(session), session.run_dir / "logs", quiet, alone.check)
        status = asyncio.run(supervisor.run())
    return INTERRUPTED_STATUS if supervisor.interrupted and session.trials else status


def run(arguments: argparse.Namespace) -> int:
    session = prepare(arguments.task, {name: getattr(arguments, name) for name in ARGUMENTS})
    print(f"prophrl: cell {session.cell.name}, task {session.task}, logs and episodes in {session.run_dir}", flush=True)
    return bring_up(session, arguments.quiet)
