"""Some of a session's processes, running in the background while something is done with them."""

import contextlib
import os
import time
from collections.abc import Iterator

from prophrl_core.errors import UserError

from prophrl_bringup import environment
from prophrl_bringup.processes import Process, session_processes
from prophrl_bringup.program import Program
from prophrl_bringup.session import Session

READY_TIMEOUT_S = 60.0


@contextlib.contextmanager
def running_cell(session: Session, names: tuple[str, ...], before_nodes=lambda: None) -> Iterator[None]:
    """Start the named processes of ``session`` in their usual order; all are stopped on the way out.

    ``before_nodes()`` is called before the first that is a ROS node starts. Output goes to ``session.run_dir/logs``. UserError when one that others wait for does not get ready.
    """
    chosen = [p for p in session_processes(session) if p.name in names]
    missing = sorted(set(names) - {p.name for p in chosen})
    if missing:
        raise UserError(f"cell {session.cell.name}: expected a process {missing[0]}, it has none")
    started: list[Program] = []
    try:
        first_node = next((process for process in chosen if process.parameters is not None), None)
        for process in chosen:
            if process is first_node:
                before_nodes()
            log = session.run_dir / "logs" / f"{process.name}.log"
            started.append(Program(process.command(), log, os.environ | environment.unset_defaults()))
            if process.ready_file is not None:
                _wait_ready(process, started[-1])
        yield
    finally:
        for program in reversed(started):
            program.stop()


def _wait_ready(process: Process, program: Program) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while not process.ready_file.exists():
        if program.popen.poll() is not None or time.monotonic() > end:
            raise UserError(f"{process.name} did not get ready; see {program.log}")
        time.sleep(0.05)
