"""The session as the operator sees it: which trial, which phase, what came of the ones before. Pure."""

import dataclasses

IDLE, HOMING, SCENE, RUNNING, LABEL = "idle", "homing", "scene", "running", "label"
PHASES = {"homing": HOMING, "reset": SCENE, "running": RUNNING, "labelling": LABEL}  # of RunTrials feedback


@dataclasses.dataclass(frozen=True)
class Event:
    """An episode event. ``kind``: reset_requested, started, label_requested, stopped, session_ended."""

    kind: str
    trial: int
    seed: int
    episode_id: str
    at_s: float  # wall clock
    outcome: str = ""
    reason: str = ""
    instruction: str = ""


class SessionView:
    """Fed by episode events and, when this console started the session, by its feedback.

    ``trials`` is 0 when another program started the session: its number of trials is not told.
    """

    def __init__(self, horizon_s: float):
        self.horizon_s = horizon_s
        self.phase, self.trial, self.trials, self.seed = IDLE, 0, 0, 0
        self.episode_id = self.instruction = self.last = self.message = ""
        self.started_s = 0.0
        self.outcomes: tuple[str, ...] = ()

    def asked(self, trials: int, seed: int) -> None:
        """This console's session was taken; its first events may have come sooner."""
        if self.phase == IDLE:
            self._reset(trials)
            self.phase = HOMING
        self.trials, self.seed = trials, seed

    def feedback(self, trial: int, phase: str) -> None:
        """What the session reports to whoever started it."""
        if phase in PHASES:
            self.phase, self.trial = PHASES[phase], trial

    def ended(self, line: str) -> None:
        """The session that this console started is over, or was refused."""
        self.phase, self.message = IDLE, line

    def heard(self, event: Event) -> None:
        """An event of any session; older latched ones bring a late joiner up to date."""
        if event.kind == "session_ended":
            self.phase = IDLE
            return
        if event.kind == "stopped":
            self.outcomes = (*self.outcomes, event.outcome)
            self.last = f"{event.outcome}{': ' + event.reason if event.reason else ''}"
            self.phase = IDLE if self.phase == IDLE else HOMING
            return
        if self.phase == IDLE:
            self._reset(0)
        self.trial, self.seed = event.trial, event.seed
        self.instruction = event.instruction or self.instruction
        if event.kind == "reset_requested":
            self.phase, self.episode_id = SCENE, ""
        elif event.kind == "started":
            self.phase, self.episode_id, self.started_s = RUNNING, event.episode_id, event.at_s
        elif event.kind == "label_requested":
            self.phase = LABEL

    @property
    def running(self) -> bool:
        """Whether an episode is being recorded now."""
        return self.phase in (RUNNING, LABEL)

    def counts(self) -> dict[str, int]:
        """Trials by outcome."""
        return {outcome: self.outcomes.count(outcome) for outcome in dict.fromkeys(self.outcomes)}

    def headline(self, now_s: float) -> str:
        """The phase in words. ``now_s`` is wall-clock time."""
        number = f"Trial {self.trial + 1}"
        if self.trials:  # trials that do not count are run again
            number += f" of {self.trials}" if self.trial < self.trials else f" ({self.trials} wanted)"
        return {
            IDLE: "No session",
            HOMING: f"{number}: the arm goes home",
            SCENE: f"{number}: lay out the scene, then press Scene ready",
            RUNNING: f"{number}: recording, {max(0.0, now_s - self.started_s):.0f} s of {self.horizon_s:.0f} s",
            LABEL: f"{number}: time is up, label it",
        }[self.phase]

    def _reset(self, trials: int) -> None:
        self.trials, self.trial, self.outcomes, self.last, self.message = trials, 0, (), "", ""
