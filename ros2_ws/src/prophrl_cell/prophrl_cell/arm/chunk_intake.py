"""What becomes of a chunk that arrives: executed, refused with one event, or kept off by an operator's hand."""

import numpy as np
from prophrl_core.chunk_schedule import Chunk

from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.limiter import Clamp
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_cell.arm.operator_hand import OperatorHand
from prophrl_cell.arm.reports import Reports
from prophrl_cell.arm.shared_state import EventKind, Mode


class ChunkIntake:
    """The only way of a chunk into ``Motion``."""

    def __init__(self, envelope: Envelope, motion: Motion, hand: OperatorHand, reports: Reports):
        self._envelope, self._motion, self._hand, self._reports = envelope, motion, hand, reports

    def take(self, record: np.ndarray, mode: Mode, current: str, now: float) -> None:
        """Take a ``shared_state.COMMAND`` record that holds a chunk; ``current`` is the episode under way."""
        episode_id, observed = record["episode_id"].decode(), float(record["observation_time"])
        kept_off = self._hand.keeps_off(observed)
        if kept_off is not None:
            if kept_off.detail:
                self._reports.envelope_event(EventKind.REFUSED, kept_off, episode_id, now)
            return
        found = self._check(record, mode, episode_id, current, now)
        if found is None:
            actions_TD = record["actions"][: int(record["steps"])].astype(float)
            period, sequence, source = float(record["step_period"]), int(record["sequence"]), int(record["source"])
            found = self._motion.follow(Chunk(actions_TD, period, observed, sequence, source), now)
            self._reports.chunk_of(record["policy_version"], episode_id)
        if found is not None:
            self._reports.envelope_event(EventKind.REFUSED, found, episode_id, now)
            if self._motion.doing is Doing.FOLLOWING:
                self._motion.brake()

    def _check(self, record: np.ndarray, mode: Mode, episode_id: str, current: str, now: float) -> Clamp | None:
        if mode not in (Mode.READY, Mode.EXECUTING) or self._motion.doing is Doing.BRAKING:
            return Clamp("mode", mode, Mode.READY, "", f"the arm is in {mode.name}, {self._motion.doing.value}")
        if not current or episode_id != current:
            return Clamp("episode", 0.0, 0.0, "", f"a chunk of episode {episode_id!r} in {current!r}")
        outside = self._envelope.check_start(self._motion.T)
        if outside is not None:
            return outside
        steps, age = int(record["steps"]), now - float(record["observation_time"])
        return self._envelope.check_chunk(
            record["actions"][:steps].astype(float), steps, int(record["dims"]), float(record["step_period"]),
            record["spec_id"].decode(), age,
        )  # fmt: skip
