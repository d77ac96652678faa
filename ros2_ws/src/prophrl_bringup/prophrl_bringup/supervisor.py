"""Starts a session's processes, carries their output to the terminal and to files, and ends them all, always."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from prophrl_core.errors import UserError

from prophrl_bringup import environment
from prophrl_bringup.processes import (
    INTERRUPT_GRACE_S,
    RESTART_DELAY_S,
    RESTARTS,
    TERMINATE_GRACE_S,
    USER_ERROR_STATUS,
    Process,
)

READY_TIMEOUT_S = 30.0
ERROR_PREFIX = "prophrl: error: "
LINE_LIMIT = 1 << 20
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class _Running:
    """A started process, its output on the way to the terminal and to its log file."""

    def __init__(self, process: Process, handle: asyncio.subprocess.Process, log_path: Path, show):
        self.process = process
        self.handle = handle
        self.error = ""  # the last one-line error it printed
        self._log_path = log_path
        self._show = show
        self.output = asyncio.create_task(self._carry_output())

    async def _carry_output(self) -> None:
        with self._log_path.open("ab") as log:
            while True:
                try:
                    line = await self.handle.stdout.readline()
                except ValueError:  # a line beyond LINE_LIMIT: drop what is buffered of it
                    continue
                if not line:
                    return
                log.write(line)
                log.flush()
                text = line.decode(errors="replace").rstrip()
                if text.startswith(ERROR_PREFIX):
                    self.error = text.removeprefix(ERROR_PREFIX)
                self._show(self.process, text)

    async def ended(self) -> int:
        """Exit status, once its output has been carried too."""
        status = await self.handle.wait()
        await asyncio.wait([self.output], timeout=1.0)
        return status


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


class Supervisor:
    """The one owner of a session's processes."""

    def __init__(self, processes: list[Process], log_dir: Path, quiet: bool = False, before_nodes=lambda: None):
        """``before_nodes()`` is called, and may take its time, before the first process that is a ROS node starts."""
        self.processes = processes
        self._before_nodes = before_nodes
        self.log_dir = log_dir
        self.interrupted = False
        self._quiet = quiet
        self._stopping = False
        self._running: dict[str, _Running] = {}
        self._watchers: set[asyncio.Task] = set()
        self._environment = os.environ | environment.unset_defaults() | {"PYTHONUNBUFFERED": "1"}

    def _show(self, process: Process, text: str) -> None:
        """Quiet leaves the process that the session waits for, undecorated; its error is the session's last word.

        What processes say while they are being stopped goes to their log files only.
        """
        if self._stopping:
            return
        if not self._quiet:
            print(f"[{process.name}] {text}", flush=True)
        elif process.last and not text.startswith(ERROR_PREFIX):
            print(text, flush=True)

    async def run(self) -> int:
        """Start all, wait for the end, stop all. 0, or the status of what ended the session."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        try:
            session = asyncio.create_task(self._start_and_watch())
            await asyncio.wait([session, stopped], return_when=asyncio.FIRST_COMPLETED)
            if session.done():
                return session.result()
            session.cancel()
            await asyncio.wait([session])
            self.interrupted = True
            return 0
        finally:
            stopped.cancel()
            await self._stop_all()

    async def _start_and_watch(self) -> int:
        checked = False
        for process in self.processes:
            if process.parameters is not None and not checked:
                await asyncio.to_thread(self._before_nodes)
                checked = True
            self._running[process.name] = await self._start(process)
            self._watchers.add(asyncio.create_task(self._watch(process)))
            if process.ready_file is not None:
                await self._wait_ready(process)
        done, _ = await asyncio.wait(self._watchers, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()

    async def _start(self, process: Process) -> _Running:
        log_path = self.log_dir / f"{process.name}.log"
        handle = await asyncio.create_subprocess_exec(
            *process.command(), env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, limit=LINE_LIMIT, start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        return _Running(process, handle, log_path, self._show)

    async def _wait_ready(self, process: Process) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not process.ready_file.exists():
            for watcher in self._watchers:
                if watcher.done():
                    watcher.result()
            if time.monotonic() > deadline:
                raise UserError(f"{process.name}: expected it to be ready in {READY_TIMEOUT_S:.0f} s, it is not; see its log")
            await asyncio.sleep(0.05)

    async def _watch(self, process: Process) -> int:
        """Wait for the end of one process, starting it again as its description allows.

        Returns 0 when the session's goal is reached; UserError when the session cannot go on. Where it can go on
        without the process, this does not return.
        """
        for attempt in range(RESTARTS + 1):
            if attempt > 0:
                self._running[process.name] = await self._start(process)
            running = self._running[process.name]
            status = await running.ended()
            if process.last and status in (0, 1):
                return status
            again = process.restart and status != USER_ERROR_STATUS and attempt < RESTARTS
            if not again:
                break
            print(f"prophrl: {process.name} ended with {status}; starting it again", file=sys.stderr, flush=True)
            await asyncio.sleep(RESTART_DELAY_S)
        words = running.error or f"{process.name} ended with {status}; see {self.log_dir / f'{process.name}.log'}"
        if process.optional:
            print(f"prophrl: going on without {process.name}: {words}", file=sys.stderr, flush=True)
            await asyncio.Event().wait()
        raise UserError(words)

    async def _stop_all(self) -> None:
        """The nodes first, what they talk to last."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        running = [self._running[process.name] for process in reversed(self.processes) if process.name in self._running]
        await self._stop([item for item in running if item.process.ready_file is None])
        await self._stop([item for item in running if item.process.ready_file is not None])

    async def _stop(self, running: list[_Running]) -> None:
        """SIGINT, then force; at most INTERRUPT_GRACE_S + 2 TERMINATE_GRACE_S."""
        for number, grace in (
            (signal.SIGINT, INTERRUPT_GRACE_S),
            (signal.SIGTERM, TERMINATE_GRACE_S),
            (signal.SIGKILL, TERMINATE_GRACE_S),
        ):
            alive = [item for item in running if item.handle.returncode is None]
            if not alive:
                break
            if number != signal.SIGINT:
                names = ", ".join(item.process.name for item in alive)
                print(f"prophrl: {names} still running, sending {number.name}", file=sys.stderr, flush=True)
            for item in alive:
                item.handle.send_signal(number)
            await asyncio.wait([asyncio.create_task(item.handle.wait()) for item in alive], timeout=grace)
        for item in running:
            try:
                os.killpg(item.handle.pid, signal.SIGKILL)  # children that an owner left behind
            except ProcessLookupError:
                pass
            await asyncio.wait([item.output], timeout=1.0)
