"""What the arm is commanded to do next: hold, brake, follow chunks, or move home, inside the envelope.

Pure: time comes in as an argument (s, any monotonic clock), commands go out as joints. One ``step`` per
servo cycle; the state is what was commanded, never what was measured.
"""

import dataclasses
import enum

import numpy as np
from prophrl_core import action
from prophrl_core.chunk_schedule import Chunk, ChunkSchedule, Setpoint
from prophrl_core.target_history import TargetHistory

from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.joint_move import JointMove, rest_to_rest
from prophrl_cell.arm.limiter import Clamp

_AT_REST = 1e-4  # rad/s


class Doing(enum.Enum):
    """What ``step`` is doing."""

    HOLDING = "holding"
    BRAKING = "braking"
    FOLLOWING = "following"
    MOVING = "moving"


@dataclasses.dataclass(frozen=True)
class ExecutedStep:
    """One control step as it went: ``proposed`` and ``executed`` are actions (7,)."""

    end: float
    chunk: Chunk
    step: int
    proposed: np.ndarray
    executed: np.ndarray
    clamped: bool
    observation_age: float


class Motion:
    """The commanded motion of one arm, from rest at joints ``q`` (6,) at time ``t``.

    After ``step``: ``q`` (6,) rad, ``T`` (4, 4) commanded TCP in base, ``openness`` 0..1.
    """

    def __init__(self, envelope: Envelope, q: np.ndarray, openness: float, period: float, t: float):
        self._envelope, self._period = envelope, period
        self.q, self.T, self.openness = np.array(q, dtype=float), envelope.tcp(q), float(openness)
        self._joints = envelope.joint_limiter(self.q)
        self._cartesian = envelope.cartesian_limiter(self.T)
        self._schedule = ChunkSchedule(self.T, self.openness)
        self._history = TargetHistory(seconds=2.0)
        self._move: tuple[JointMove, float] | None = None
        self.doing = Doing.HOLDING
        self.executed: list[ExecutedStep] = []
        self._step_from: tuple[float, np.ndarray, Setpoint, Chunk] | None = None
        self._step_clamped = False
        self._history.append(t, self.T, self.openness)

    def follow(self, chunk: Chunk, now: float) -> Clamp | None:
        """Take a chunk that passed ``Envelope.check_chunk``; the reason when it is wholly past."""
        past = self._history.at(chunk.observation_time)
        from_rest = past is None or not self._history.moved_since(chunk.observation_time)
        T_anchor = self.T if from_rest else past[0]
        if self.doing is not Doing.FOLLOWING:
            self._joints.reset(self.q)
            self._cartesian.reset(self.T)
            self._schedule.hold(self.T, self.openness)
        skipped = self._schedule.accept(chunk, now, T_anchor, from_rest)
        if skipped >= len(chunk.actions_TD):
            age = now - chunk.observation_time
            return Clamp("chunk_age", age, skipped * chunk.step_period, "s", "every step of the chunk is past")
        self.doing = Doing.FOLLOWING
        return None

    def move(self, q_goal: np.ndarray, speed: float, now: float) -> Clamp | None:
        """Start a joint move from rest; the reason when the way there is refused."""
        move = rest_to_rest(self.q, q_goal, self._envelope, speed)
        found = self._envelope.check_path(move.path())
        if found is None:
            self._joints.reset(self.q)
            self._move, self.doing = (move, now), Doing.MOVING
        return found

    def brake(self) -> None:
        """Come to rest as fast as the joint accelerations allow, and hold there."""
        if self.doing is not Doing.HOLDING:
            self.doing = Doing.BRAKING

    @property
    def resting(self) -> bool:
        """Whether the command stands still for good."""
        return self.doing is Doing.HOLDING

    def rest_at(self, q: np.ndarray, t: float) -> None:
        """Forget everything under way and hold ``q``: for a robot that moved without us."""
        self.q, self.T = np.array(q, dtype=float), self._envelope.tcp(q)
        self._joints.reset(self.q)
        self._finish_step(t)
        self._schedule.hold(self.T, self.openness)
        self._history.clear()
        self._history.append(t, self.T, self.openness)
        self.doing = Doing.HOLDING

    def step(self, t: float) -> tuple[np.ndarray, list[Clamp]]:
        """Joints (6,) to command at time ``t``, one period after the last call, and the limits met.

        A limit that stops the arm has already switched it to braking.
        """
        clamps: list[Clamp] = []
        if self.doing is Doing.FOLLOWING:
            clamps = self._follow_step(t)
        elif self.doing is Doing.MOVING:
            clamps = self._move_step(t)
        if self.doing is Doing.BRAKING:
            self._brake_step(t)
        self._history.append(t, self.T, self.openness)
        return self.q, clamps

    def _follow_step(self, t: float) -> list[Clamp]:
        setpoint = self._schedule.setpoint(t)
        self._account(setpoint, t)
        self.openness = min(max(setpoint.openness, 0.0), 1.0)
        T, clamps = self._cartesian.step(setpoint.T, self._period)
        q = self._envelope.joints(T, self.q)
        if q is None:
            clamps.append(Clamp("reach", 0.0, 0.0, "", "no joint configuration near the present one reaches the pose"))
        else:
            before = self._joints.qd
            q_new, joint_clamps = self._joints.step(q, self._period)
            clamps += joint_clamps
        if q is None or any(self._envelope.stops(c) for c in clamps):
            if q is not None:
                self._joints.q, self._joints.qd = self.q, before
            self.brake()
            return clamps
        self._step_clamped |= bool(clamps)
        self.q = q_new
        if joint_clamps:
            self._cartesian.place(self._envelope.tcp(q_new), self._period)
        self.T = self._cartesian.T
        if t >= self._schedule.end_time() and np.max(np.abs(self._joints.qd)) < _AT_REST:
            self._finish_step(t)
            self._schedule.hold(self.T, self.openness)
            self.doing = Doing.HOLDING
        return clamps

    def _move_step(self, t: float) -> list[Clamp]:
        move, since = self._move
        self.q, clamps = self._joints.step(move.at(t - since), self._period)
        self.T = self._envelope.tcp(self.q)
        if any(self._envelope.stops(c) for c in clamps):
            self.brake()
        elif t - since >= move.seconds and np.array_equal(self.q, move.goal):
            self._schedule.hold(self.T, self.openness)
            self.doing = Doing.HOLDING
        return clamps

    def _brake_step(self, t: float) -> None:
        self.q = self._joints.brake(self._period)
        self.T = self._envelope.tcp(self.q)
        if not self._joints.qd.any():
            self._finish_step(t)
            self._schedule.hold(self.T, self.openness)
            self.doing = Doing.HOLDING

    def _account(self, setpoint: Setpoint, t: float) -> None:
        """Close the control step under way when the schedule has gone on to another one.

        At a seam less than half a step long the two are joined, so that the executed actions always chain
        to the whole commanded motion.
        """
        chunk = self._schedule.chunk
        if self._step_from is None:
            self._step_from, self._step_clamped = (t - self._period, self.T, setpoint, chunk), False
            return
        since, T_from, before, _ = self._step_from
        if (before.sequence, before.step) == (setpoint.sequence, setpoint.step) or setpoint.step < 0:
            return
        if t - self._period - since < 0.5 * chunk.step_period:
            self._step_from = (since, T_from, setpoint, chunk)
            return
        self._finish_step(t - self._period)
        self._step_from, self._step_clamped = (t - self._period, self.T, setpoint, chunk), False

    def _finish_step(self, t: float) -> None:
        if self._step_from is None:
            return
        since, T_from, setpoint, chunk = self._step_from
        self._step_from = None
        if setpoint.step < 0:
            return
        proposed = chunk.actions_TD[setpoint.step]
        executed = action.delta(T_from, self.T, self.openness)
        age = since - chunk.observation_time
        self.executed.append(ExecutedStep(t, chunk, setpoint.step, proposed, executed, self._step_clamped, age))
