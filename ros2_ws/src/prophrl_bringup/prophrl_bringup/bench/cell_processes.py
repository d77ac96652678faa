"""Some of a session's processes, running in the background for the length of a measurement."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from prophrl_core.errors import UserError

from prophrl_bringup import environment
from prophrl_bringup.processes import Process, session_processes
from prophrl_bringup.session import Session

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0


@contextlib.contextmanager
def running_cell(
    session: Session, names: tuple[str, ...], before_nodes=lambda: None
) -> Iterator[dict[str, subprocess.Popen]]:
    """Start the named processes of ``session`` in their usual order; all are stopped on the way out.

    ``before_nodes()`` is called before the first that is a ROS node starts.

    Output goes to ``session.run_dir/logs``. UserError when one that others wait for does not get ready.
    """
    chosen = [p for p in session_processes(session) if p.name in names]
    missing = sorted(set(names) - {p.name for p in chosen})
    if missing:
        raise UserError(f"cell {session.cell.name}: expected a process {missing[0]}, it has none")
    started: dict[str, subprocess.Popen] = {}
    try:
        first_node = next((process for process in chosen if process.parameters is not None), None)
        for process in chosen:
            if process is first_node:
                before_nodes()
            started[process.name] = _start(process, session)
            if process.ready_file is not None:
                _wait_ready(process, started[process.name], session)
        yield started
    finally:
        for name in reversed(started):
            _stop(started[name])


def _start(process: Process, session: Session) -> subprocess.Popen:
    with open(session.run_dir / "logs" / f"{process.name}.log", "wb") as log:
        return subprocess.Popen(
            process.command(), env=os.environ | environment.unset_defaults(), stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _wait_ready(process: Process, handle: subprocess.Popen, session: Session) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while not process.ready_file.exists():
        if handle.poll() is not None or time.monotonic() > end:
            raise UserError(f"{process.name} did not get ready; see {session.run_dir / 'logs' / process.name}.log")
        time.sleep(0.05)


def _stop(handle: subprocess.Popen) -> None:
    if handle.poll() is None:
        handle.send_signal(signal.SIGINT)
        try:
            handle.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(handle.pid, signal.SIGKILL)
    handle.wait()
