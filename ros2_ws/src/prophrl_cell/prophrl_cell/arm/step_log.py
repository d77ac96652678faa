"""The record of control steps as they went: what was proposed, what the arm was commanded to do.

Steps follow one another without gaps, across replans and changes of control, so that the executed actions always chain
to the whole commanded motion. Pure.
"""

import dataclasses

import numpy as np
from prophrl_core import action


@dataclasses.dataclass(frozen=True)
class StepLabel:
    """Whose step it is. ``step`` is -1 where nothing is proposed, before a chunk begins; ``proposed`` an action (7,)."""

    source: int
    sequence: int
    step: int
    period: float
    observation_time: float
    proposed: np.ndarray | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells it from other steps."""
        return self.source, self.sequence, self.step


@dataclasses.dataclass(frozen=True)
class ExecutedStep:
    """One control step as it went: ``proposed`` and ``executed`` are actions (7,), ``end`` is its time."""

    end: float
    source: int
    sequence: int
    step: int
    proposed: np.ndarray
    executed: np.ndarray
    clamped: bool
    observation_age: float


class StepLog:
    """``executed`` grows by a step whenever one is over; whoever takes them clears it."""

    def __init__(self):
        self.executed: list[ExecutedStep] = []
        self._label: StepLabel | None = None
        self._since, self._T_from, self._T_proposed = 0.0, np.eye(4), None
        self._clamped = False

    def enter(self, label: StepLabel, t: float, T: np.ndarray, openness: float) -> bool:
        """At ``t`` (s) the commanded pose was ``T`` (4, 4) and the step ``label`` began or went on; True when it began.

        A step that is less than half over when another takes its place is joined with that one.
        """
        if self._label is None:
            self._since, self._T_from, self._clamped = t, T, False
        elif label.key == self._label.key or (label.step < 0 and label.source == self._label.source):
            return False
        elif t - self._since >= 0.5 * self._label.period:
            self.close(t, T, openness)
            self._since, self._T_from, self._clamped = t, T, False
        self._label, self._T_proposed = label, None
        return True

    def clamped(self) -> None:
        """The envelope changed the step under way."""
        self._clamped = True

    def propose(self, T: np.ndarray) -> None:
        """Where the step under way would have led so far, had nothing limited it: T_base_tcp (4, 4)."""
        self._T_proposed = T

    def close(self, t: float, T: np.ndarray, openness: float) -> None:
        """The step under way, where there is one, ended at ``t`` at the commanded pose ``T`` (4, 4)."""
        label, self._label = self._label, None
        if label is None or label.step < 0:
            return
        executed = action.delta(self._T_from, T, openness)
        proposed = label.proposed
        if proposed is None:
            proposed = executed if self._T_proposed is None else action.delta(self._T_from, self._T_proposed, openness)
        age = max(0.0, self._since - label.observation_time)
        self.executed.append(
            ExecutedStep(t, label.source, label.sequence, label.step, proposed, executed, self._clamped, age)
        )

    def discard(self) -> None:
        """Forget the step under way."""
        self._label = None
