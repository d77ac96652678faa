"""Keeps one RTDE process alive and answerable, from the node's side: start, heartbeat, kill, restart, stop.

A process that has hung (no servo cycle for a while), crashed or lost its link is replaced by a fresh one,
which means new sockets, new RTDE recipes and a newly uploaded control script. After the first start every
new process comes up holding and waits for the operator's resume.
"""

import subprocess
import sys
import time

import numpy as np

from prophrl_cell.arm import shared_state
from prophrl_cell.arm.shared_state import ArmMemory, Command, Exit, Mode

_HUNG = 0.6  # s without a servo cycle
_START_LIMIT = 25.0  # s for connecting or restarting the control program
_RETRY = 1.0  # s between attempts to get the robot back
_STOP_LIMIT = 3.0  # s for a clean end before SIGKILL


class ArmSupervisor:
    """Owner of the RTDE process. Call ``poll`` often (every servo period or so) from one thread."""

    def __init__(self, cell: str, task: str):
        """``cell`` and ``task`` are names or paths of descriptions."""
        self._cell, self._task = cell, task
        self._process: subprocess.Popen | None = None
        self._memory: ArmMemory | None = None
        self._started = 0.0
        self._retry_at: float | None = None
        self._reason = "not started"
        self._ever_ready = False
        self._openness = 1.0
        self._heard = 0
        self.restarts = 0
        self.refusal = ""  # why the first start failed; empty while it has not

    def start(self, held: str = "") -> None:
        """Spawn a process; ``held`` is why it must wait for the operator's resume."""
        if self._memory is not None:
            self._memory.close()
        self._memory = ArmMemory.create()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prophrl_cell.arm.rtde_process", "--memory", str(self._memory.fd),
             "--cell", self._cell, "--task", self._task, "--held", held, "--openness", repr(self._openness)],
            pass_fds=[self._memory.fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._started, self._retry_at = time.monotonic(), None

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        return None if self._process is None else self._process.pid

    @property
    def memory(self) -> ArmMemory:
        """The blocks shared with the present process (the last one's while none runs)."""
        return self._memory

    def state(self) -> np.ndarray:
        """The present state record; while no process serves, one that says so and why."""
        record = self._memory.state.read() if self._process is not None else None
        if record is None:
            record = np.zeros(1, shared_state.STATE)[0]
            record["mode"] = Mode.STARTING if self._process is not None else Mode.DISCONNECTED
            record["reason"] = self._reason.encode()
            record["openness"] = self._openness
        return record

    def send(self, kind: Command, **fields) -> bool:
        """Queue a command; False when no process takes it."""
        if self._process is None:
            return False
        record = np.zeros((), shared_state.COMMAND)
        record["kind"] = kind
        for name, value in fields.items():
            record[name] = value
        return self._memory.commands.push(record)

    def teleop(self, **fields) -> None:
        """Put a teleop command (fields of ``shared_state.TELEOP``) in the place of the last one."""
        self._heard += 1
        record = np.zeros((), shared_state.TELEOP)
        record["serial"] = self._heard
        for name, value in fields.items():
            record[name] = value
        self._memory.teleop.write(record)

    def poll(self) -> str:
        """Notice an exit or a hang and act on it; returns a line when something happened, else an empty one."""
        now = time.monotonic()
        if self._process is None:
            if self._retry_at is not None and now >= self._retry_at:
                self.restarts += 1
                self.start(self._reason)
            return ""
        code = self._process.poll()
        record = self._memory.state.read()
        mode = Mode.STARTING if record is None else Mode(int(record["mode"]))
        if code is not None:
            return self._ended(code, record, now)
        cycling = record is not None and record["cycle"] > 0
        if cycling:
            self._ever_ready = True
            self._openness = float(record["openness"])
        silent = now - max(self._started, float(record["heartbeat"]) if record is not None else 0.0)
        if silent > (_HUNG if cycling and mode is not Mode.STARTING else _START_LIMIT):
            self._kill()
            return self._retry(f"the arm process hung for {silent:.1f} s and was killed; resume when safe", now)
        return ""

    def _ended(self, code: int, record: np.ndarray | None, now: float) -> str:
        self._process = None
        left = record["reason"].decode() if record is not None else ""
        if not self._ever_ready:
            self.refusal = left or f"the arm process could not start (exit {code}); run prophrl doctor"
            return self.refusal
        if code == Exit.REFUSED:
            return self._retry(left, now)
        if code == Exit.LINK_LOST:
            return self._retry("the link to the controller was lost; resume when it is back and safe", now)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return self._retry(f"the arm process {how} ({left or 'no reason left'}); resume when safe", now)

    def _retry(self, reason: str, now: float) -> str:
        line = reason if reason != self._reason else ""
        self._reason, self._retry_at = reason, now + _RETRY
        return line

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End the process: asked first, killed after a bounded wait."""
        self._retry_at = None
        if self._process is not None:
            self.send(Command.SHUTDOWN)
            try:
                self._process.wait(_STOP_LIMIT)
                self._process = None
            except subprocess.TimeoutExpired:
                self._kill()
        if self._memory is not None:
            self._memory.close()
            self._memory = None
