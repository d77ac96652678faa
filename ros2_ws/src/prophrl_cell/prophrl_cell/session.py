"""A session of trials as a pure state machine: what to do next, given what is seen now. No ROS, no clock.

``TrialSession.step(now, view)`` is called often and returns commands for the caller to carry out:
move home, announce an event, or nothing. A trial runs

    HOMING -> RESET -> RUNNING -> (LABELLING) -> next trial or DONE

HOMING waits for everything to be ready (and, after a fault, for its recovery) up to a bound.
"""

import dataclasses
import enum
from collections.abc import Callable

from prophrl_core.episode import OUTCOMES

FAULT, ABORTED, DISCARDED = "fault", "aborted", "discarded"


class Phase(enum.Enum):
    HOMING = "homing"
    RESET = "reset"
    RUNNING = "running"
    LABELLING = "labelling"
    DONE = "stopped"


class Announce(enum.Enum):
    RESET_REQUESTED = "reset_requested"
    STARTED = "started"
    LABEL_REQUESTED = "label_requested"
    STOPPED = "stopped"
    SESSION_ENDED = "session_ended"


@dataclasses.dataclass(frozen=True)
class SessionConfig:
    """What was asked for, and how long each party may take (s). Trials with an ``uncounted`` outcome are run again."""

    trials: int
    seed: int
    timeout_s: float
    uncounted: tuple[str, ...] = (DISCARDED,)
    ready_timeout_s: float = 60.0
    home_timeout_s: float = 60.0
    scene_timeout_s: float = 300.0
    label_timeout_s: float = 300.0
    home_retry_s: float = 2.0
    home_answer_s: float = 5.0  # then arm/home is asked again
    settle_s: float = 0.5  # READY must hold this long after a home move was accepted


@dataclasses.dataclass(frozen=True)
class View:
    """What the session sees now. ``not_ready`` and ``fault`` are one line each, empty when all is well."""

    arm_moving: bool = False
    not_ready: str = ""  # why a trial cannot start
    fault: str = ""  # why a running trial must end
    cancelled: bool = False


@dataclasses.dataclass(frozen=True)
class GoHome:
    """Call arm/home; report through ``home_answered``."""


@dataclasses.dataclass(frozen=True)
class Emit:
    """Publish an episode event; ``result`` comes with STOPPED."""

    what: Announce
    trial: int
    seed: int
    episode_id: str
    result: "TrialResult | None" = None


@dataclasses.dataclass(frozen=True)
class TrialResult:
    trial: int
    episode_id: str
    outcome: str
    reason: str
    duration_s: float
    operator: str = ""


class TrialSession:
    """One RunTrials request. ``make_episode_id(trial)`` names an episode when it starts."""

    def __init__(self, config: SessionConfig, make_episode_id: Callable[[int], str], now_s: float):
        self._config = config
        self._make_episode_id = make_episode_id
        self.trial = 0
        self.episode_id = ""
        self.results: list[TrialResult] = []
        self.message = ""
        self._enter(Phase.HOMING, now_s)

    @property
    def seed(self) -> int:
        """Scene seed of the current trial."""
        return self._config.seed + self.trial

    def scene_ready(self) -> str:
        """The scene is laid out; returns a refusal in one line, or nothing."""
        if self.phase is not Phase.RESET:
            return f"expected scene_ready after RESET_REQUESTED, got it while {self.phase.value}"
        self._scene_ready = True
        return ""

    def stop(self, episode_id: str) -> str:
        """The trial is over and wants a label; returns a refusal in one line, or nothing."""
        if self.phase is not Phase.RUNNING:
            return f"expected a stop while a trial runs, got it while {self.phase.value}"
        if episode_id and episode_id != self.episode_id:
            return f"expected a stop of {self.episode_id}, got one of {episode_id}"
        self._stop_asked = True
        return ""

    def label(self, episode_id: str, outcome: str, reason: str, operator: str) -> str:
        """The operator's verdict; returns a refusal in one line, or nothing."""
        if self.phase not in (Phase.RUNNING, Phase.LABELLING):
            return f"expected a label while a trial runs, got it while {self.phase.value}"
        if episode_id and episode_id != self.episode_id:
            return f"expected a label for {self.episode_id}, got one for {episode_id}"
        if outcome not in OUTCOMES:
            return f"expected an outcome out of {', '.join(OUTCOMES)}, got {outcome!r}"
        self._label = (outcome, reason, operator)
        return ""

    def home_answered(self, accepted: bool, message: str, now_s: float) -> None:
        """The arm took or refused the home move."""
        if accepted:
            self._home_accepted_s = now_s
        else:
            self._home_refusal, self._retry_s = message, now_s + self._config.home_retry_s

    def step(self, now_s: float, view: View) -> list[GoHome | Emit]:
        """Advance; call at 10 Hz or more."""
        if self.phase is Phase.DONE:
            return []
        if view.cancelled:
            return self._cancel(now_s)
        return {
            Phase.HOMING: self._homing, Phase.RESET: self._reset,
            Phase.RUNNING: self._running, Phase.LABELLING: self._labelling,
        }[self.phase](now_s, view)

    def _emit(self, what: Announce, result: TrialResult | None = None) -> Emit:
        return Emit(what, self.trial, self.seed, self.episode_id, result)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s
        if phase is Phase.HOMING:
            self._home_accepted_s = None
            self._home_refusal, self._retry_s = "", now_s
            self.episode_id = ""
        elif phase is Phase.RESET:
            self._scene_ready = False
        elif phase is Phase.RUNNING:
            self._label, self._stop_asked = None, False

    def _homing(self, now_s: float, view: View) -> list:
        waited = now_s - self._since_s
        if self._home_accepted_s is not None:
            if now_s - self._home_accepted_s > self._config.home_timeout_s:
                return self._give_up(now_s, f"arm not home within {self._config.home_timeout_s:.0f} s")
            if view.arm_moving or now_s - self._home_accepted_s < self._config.settle_s:
                return []
            if view.not_ready:
                self._home_accepted_s, self._retry_s = None, now_s + self._config.home_retry_s
                return []
            self._enter(Phase.RESET, now_s)
            return [self._emit(Announce.RESET_REQUESTED)]
        if waited > self._config.ready_timeout_s:
            why = view.not_ready or self._home_refusal or "arm/home was not answered"
            return self._give_up(now_s, f"not ready within {self._config.ready_timeout_s:.0f} s: {why}")
        if view.not_ready or view.arm_moving or now_s < self._retry_s:
            return []
        self._retry_s = now_s + self._config.home_answer_s
        return [GoHome()]

    def _reset(self, now_s: float, view: View) -> list:
        if self._scene_ready:
            if view.not_ready:
                self._enter(Phase.HOMING, now_s)
                return []
            self.episode_id = self._make_episode_id(self.trial)
            self._enter(Phase.RUNNING, now_s)
            self._started_s = now_s
            return [self._emit(Announce.STARTED)]
        if now_s - self._since_s > self._config.scene_timeout_s:
            limit_s = self._config.scene_timeout_s
            return self._give_up(now_s, f"nobody called session/scene_ready within {limit_s:.0f} s")
        return []

    def _running(self, now_s: float, view: View) -> list:
        if self._label is not None:
            return self._stop(now_s, *self._label)
        if view.fault:
            return self._stop(now_s, FAULT, view.fault, "")
        if self._stop_asked or now_s - self._started_s >= self._config.timeout_s:
            self._enter(Phase.LABELLING, now_s)
            return [self._emit(Announce.LABEL_REQUESTED)]
        return []

    def _labelling(self, now_s: float, view: View) -> list:
        if self._label is not None:
            return self._stop(now_s, *self._label)
        if now_s - self._since_s > self._config.label_timeout_s:
            return self._stop(now_s, ABORTED, f"no label within {self._config.label_timeout_s:.0f} s of the end", "")
        return []

    def _stop(self, now_s: float, outcome: str, reason: str, operator: str) -> list:
        self.results.append(
            TrialResult(self.trial, self.episode_id, outcome, reason, now_s - self._started_s, operator)
        )
        commands = [self._emit(Announce.STOPPED, self.results[-1])]
        if sum(result.outcome not in self._config.uncounted for result in self.results) < self._config.trials:
            self.trial += 1
            self._enter(Phase.HOMING, now_s)
            return commands
        self._enter(Phase.DONE, now_s)
        return commands + [self._emit(Announce.SESSION_ENDED)]

    def _give_up(self, now_s: float, why: str) -> list:
        self.message = f"session ended before trial {self.trial}: {why}"
        self._enter(Phase.DONE, now_s)
        return [self._emit(Announce.SESSION_ENDED)]

    def _cancel(self, now_s: float) -> list:
        self.message = f"cancelled during trial {self.trial} ({self.phase.value})"
        commands = []
        if self.phase in (Phase.RUNNING, Phase.LABELLING):
            commands = self._stop(now_s, ABORTED, "the session was cancelled", "")[:1]
        self._enter(Phase.DONE, now_s)
        return commands + [self._emit(Announce.SESSION_ENDED)]
