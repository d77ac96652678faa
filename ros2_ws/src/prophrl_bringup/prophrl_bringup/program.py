"""Commands that run beside us, in process groups of their own, their output in log files."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prophrl_core.errors import UserError

_READY_LIMIT_S, _STOP_LIMIT_S = 60.0, 8.0


class Program:
    """A running command in a group of its own; its output goes to ``log``."""

    def __init__(self, command: list, log: Path, variables: dict[str, str]):
        self.log = log
        with log.open("wb") as out:
            self.popen = subprocess.Popen(
                [str(word) for word in command], env=variables, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, limit: float = _READY_LIMIT_S) -> None:
        """Wait until ``text`` is in the output; UserError when the program ends or takes too long."""
        end = time.monotonic() + limit
        while text not in self.output():
            if self.popen.poll() is not None or time.monotonic() > end:
                raise UserError(f"expected {text!r} from {self.log.stem}, got: {self.output()[-400:] or 'nothing'}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Interrupt it, kill its group after a bounded wait; the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_STOP_LIMIT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        return self.popen.wait()


class Programs:
    """Python modules started one after the other, with ``variables`` as their environment; logs go to ``folder``."""

    def __init__(self, folder: Path, variables: dict[str, str]):
        self.folder, self.variables = folder, variables
        self.running: list[Program] = []

    def start(self, module: str, *words, name: str = "") -> Program:
        """Start ``python -m module`` with ``words``; its log is ``name``.log, else the module's with a number."""
        name = name or f"{module.rsplit('.', 1)[-1]}-{len(self.running)}"
        command = [sys.executable, "-m", module, *words]
        self.running.append(Program(command, self.folder / f"{name}.log", self.variables))
        return self.running[-1]

    def stop(self) -> None:
        """Stop all of them, the last first."""
        for program in reversed(self.running):
            program.stop()
