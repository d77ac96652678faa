"""What tests that start real processes share: a ROS domain and a loopback address of their own, and a starter that
always stops what it started."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from claims import ADDRESSES, DOMAINS, Claim


@pytest.fixture
def ros_domain(monkeypatch):
    """A ROS_DOMAIN_ID that no other test on this machine has, set in the environment; the number."""
    claim = Claim("domain", DOMAINS)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(claim.value))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    yield claim.value
    claim.release()


@pytest.fixture
def loopback_ip():
    """An address 127.x.y.z that no other test on this machine uses."""
    claim = Claim("address", ADDRESSES)
    yield claim.value
    claim.release()


class StartedProcess:
    """A running command in a process group of its own, its output (stderr included) in ``log_path``."""

    def __init__(self, command, log_path: Path, env=None, cwd=None):
        self.log_path = log_path
        self.command = [str(part) for part in command]
        with log_path.open("wb") as log:
            self._popen = subprocess.Popen(
                self.command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str, timeout: float = 30.0) -> re.Match:
        """Wait until the output holds a match of the regular expression; fails with the output when it ends or lasts."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.returncode is not None
            match = re.search(pattern, self.output(), re.MULTILINE)
            if match:
                return match
            if ended or time.monotonic() > deadline:
                state = f"ended with {self.returncode}" if ended else f"still runs after {timeout} s"
                raise AssertionError(f"{self.command[0]} {state} without {pattern!r}; output:\n{self.output()}")
            time.sleep(0.02)

    def wait(self, timeout: float = 30.0) -> int:
        """Exit status; fails with the output when it does not end in time."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command[0]} did not end in {timeout} s; output:\n{self.output()}") from None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def interrupt(self, timeout: float = 10.0) -> int:
        """Ctrl-C; returns the exit status."""
        self.signal(signal.SIGINT)
        return self.wait(timeout)

    def clean_up(self) -> None:
        """End the process and everything left in its group."""
        if self.returncode is None:
            self.signal(signal.SIGINT)
            try:
                self._popen.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()


@pytest.fixture
def process(tmp_path):
    """Starter: ``process(command, name="x", env=None, cwd=None)`` -> StartedProcess; all are stopped after the test."""
    started: list[StartedProcess] = []

    def start(command, name: str | None = None, env=None, cwd=None) -> StartedProcess:
        name = name or f"{Path(str(command[0])).name}-{len(started)}"
        started.append(StartedProcess(command, tmp_path / f"{name}.log", env, cwd))
        return started[-1]

    yield start
    for item in reversed(started):
        item.clean_up()
