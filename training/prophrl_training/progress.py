"""Progress of a long training on the terminal and, so that it can be plotted, in a file."""

from __future__ import annotations

import time
from pathlib import Path


class Progress:
    """Call it with (step, loss) after each step: a line every ``every`` seconds with the mean loss since the last.

    ``log`` gets the same as "step,loss,seconds" rows, after what is in it already.
    """

    def __init__(self, steps: int, every: float = 10.0, log: Path | None = None):
        self._steps, self._every, self._log = steps, every, log
        self._first = self._due = time.monotonic()
        self._first_step: int | None = None
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float) -> None:
        self._first_step = step - 1 if self._first_step is None else self._first_step
        self._losses.append(loss)
        now = time.monotonic()
        if now < self._due and step != self._steps:
            return
        mean, self._losses, self._due = sum(self._losses) / len(self._losses), [], now + self._every
        rate = (now - self._first) / max(1, step - self._first_step)
        left = rate * (self._steps - step)
        print(f"step {step}/{self._steps}: loss {mean:.4f}, {rate:.2f} s a step, {left:.0f} s left", flush=True)
        if self._log is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a") as file:
                print(f"{step},{mean:.6f},{now - self._first:.1f}", file=file)
