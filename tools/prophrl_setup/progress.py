"""What the set-up shows while it works: numbered steps, the running command's last line, one-line errors."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

QUIET_INTERVAL = 15.0  # seconds between signs of life where the output is not a terminal


class SetupError(Exception):
    """One line: what was expected, what came, what to do."""


class Progress:
    """Prints steps as they start, and the live last line of each command that runs."""

    def __init__(self, log_path: Path):
        self.log_path = log_path
        self.step_name = ""
        self.started = time.monotonic()
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = log_path.open("w", encoding="utf-8")

    def step(self, name: str) -> None:
        self.step_name = name
        print(f"setup: {name}", flush=True)

    def note(self, text: str) -> None:
        print(f"setup:   {text}", flush=True)

    def done(self) -> None:
        print(f"setup: ready in {time.monotonic() - self.started:.0f} s", flush=True)

    def run(self, command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
        """Run a command, show that it lives, return its output; SetupError with its last words when it fails."""
        self._log.write(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, env=env, cwd=cwd, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        lines: list[str] = []
        live = _LiveLine(self.step_name)
        try:
            for line in process.stdout:
                lines.append(line)
                self._log.write(line)
                self._log.flush()
                live.show(line.strip())
        finally:
            live.close()
            if process.poll() is None:
                process.wait()
        if process.returncode != 0:
            last = [text for text in deque((entry.strip() for entry in lines if entry.strip()), maxlen=12)]
            blame = next((text for text in last if text.lower().startswith("error")), last[-1] if last else "no output")
            raise SetupError(
                f"{self.step_name}: '{_short(command)}' ended with {process.returncode}: {blame} (full log: {self.log_path})"
            )
        return "".join(lines)


class _LiveLine:
    """The last output line beside the elapsed time: rewritten on a terminal, every 15 s otherwise."""

    def __init__(self, name: str):
        self._name = name
        self._terminal = sys.stdout.isatty()
        self._start = self._shown = time.monotonic()
        self._text = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def show(self, text: str) -> None:
        if text:
            self._text = text

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._terminal:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()

    def _tick(self) -> None:
        while not self._stop.wait(0.2 if self._terminal else 1.0):
            now = time.monotonic()
            if self._terminal:
                width = shutil.get_terminal_size().columns
                sys.stdout.write("\r\x1b[K" + f"  {now - self._start:4.0f} s  {self._text}"[: width - 1])
                sys.stdout.flush()
            elif now - self._shown >= QUIET_INTERVAL:
                self._shown = now
                print(f"setup:   {now - self._start:.0f} s: {self._text[:120]}", flush=True)


def _short(command: list[str]) -> str:
    names = [os.path.basename(command[0]), *command[1:]]
    text = " ".join(names)
    return text if len(text) <= 80 else text[:77] + "..."
