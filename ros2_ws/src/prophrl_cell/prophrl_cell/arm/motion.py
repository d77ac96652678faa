"""What the arm is commanded to do next: hold, brake, follow chunks, jog, or move home, inside the envelope.

Pure: time comes in as an argument (s, any monotonic clock), commands go out as joints. One ``step`` per
servo cycle; the state is what was commanded, never what was measured, but for an arm that is guided by hand.
"""

import enum
import math

import numpy as np
from prophrl_core.chunk_schedule import Chunk, ChunkSchedule, Setpoint
from prophrl_core.target_history import TargetHistory

from prophrl_cell.arm import jog
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.jog import Jog
from prophrl_cell.arm.joint_move import JointMove, rest_to_rest
from prophrl_cell.arm.limiter import Clamp
from prophrl_cell.arm.shared_state import Source
from prophrl_cell.arm.step_log import StepLabel, StepLog

_AT_REST = 1e-4  # rad/s


class Doing(enum.Enum):
    """What ``step`` is doing."""

    HOLDING = "holding"
    BRAKING = "braking"
    FOLLOWING = "following"
    MOVING = "moving"
    JOGGING = "jogging"
    GUIDED = "guided by hand"


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
        self._jog: Jog | None = None
        self._intervention, self._since = 0, 0.0
        self._T_before, self._T_asked = self.T, self.T
        self.doing = Doing.HOLDING
        self.steps = StepLog()
        self._history.append(t, self.T, self.openness)

    @property
    def source(self) -> int:
        """Where the chunk in force comes from (``Source``); policy while there is none."""
        return Source.POLICY if self._schedule.chunk is None else self._schedule.chunk.source

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

    def jog(self, wanted: Jog, now: float) -> None:
        """Move as the operator wants until told otherwise; takes over from whatever is under way without a jump."""
        if self.doing is not Doing.JOGGING:
            if self.doing is Doing.HOLDING:
                self._joints.reset(self.q)
                self._T_before = self.T
            self._cartesian.carry_on(self._T_before, self.T, self._period)
            self._schedule.hold(self.T, self.openness)
            self._intervene(now)
            self.doing = Doing.JOGGING
        self._jog = wanted

    def guide(self, now: float) -> None:
        """From rest: the arm is moved by hand from now on; see ``guided``."""
        self._intervene(now)
        self.doing = Doing.GUIDED

    def guided(self, q: np.ndarray, openness: float, t: float) -> None:
        """The arm is at joints ``q`` (6,) because somebody moved it there; ``openness`` NaN leaves the gripper."""
        self._enter_intervention_step(Source.FREEDRIVE, t - self._period, t)
        self.q, self.T = np.array(q, dtype=float), self._envelope.tcp(q)
        self._take_openness(openness)

    def _intervene(self, now: float) -> None:
        self._intervention, self._since = self._intervention + 1, now

    def begin_episode(self) -> None:
        """What was under way before is no step of the episode."""
        self.steps.discard()

    def brake(self) -> None:
        """Come to rest as fast as the joint accelerations allow, and hold there; a hand-guided arm is not commanded."""
        if self.doing not in (Doing.HOLDING, Doing.GUIDED):
            self.doing = Doing.BRAKING

    @property
    def resting(self) -> bool:
        """Whether the command stands still for good."""
        return self.doing is Doing.HOLDING

    def rest_at(self, q: np.ndarray, t: float) -> None:
        """Forget everything under way and hold ``q``: for a robot that moved without us."""
        self.q, self.T = np.array(q, dtype=float), self._envelope.tcp(q)
        self._joints.reset(self.q)
        self.steps.close(t, self.T, self.openness)
        self._schedule.hold(self.T, self.openness)
        self._history.clear()
        self._history.append(t, self.T, self.openness)
        self.doing = Doing.HOLDING

    def step(self, t: float) -> tuple[np.ndarray, list[Clamp]]:
        """Joints (6,) to command at time ``t``, one period after the last call, and the limits met.

        A limit that stops the arm has already switched it to braking.
        """
        clamps: list[Clamp] = []
        T_before = self.T
        if self.doing is Doing.FOLLOWING:
            clamps = self._follow_step(t)
        elif self.doing is Doing.JOGGING:
            clamps = self._jog_step(t)
        elif self.doing is Doing.MOVING:
            clamps = self._move_step(t)
        if self.doing is Doing.BRAKING:
            self._brake_step(t)
        self._T_before = T_before
        self._history.append(t, self.T, self.openness)
        return self.q, clamps

    def _follow_step(self, t: float) -> list[Clamp]:
        setpoint = self._schedule.setpoint(t)
        self.steps.enter(_label(setpoint, self._schedule.chunk), t - self._period, self.T, self.openness)
        self.openness = min(max(setpoint.openness, 0.0), 1.0)
        clamps = self._go_to(setpoint.T)
        ended = t >= self._schedule.end_time() and np.max(np.abs(self._joints.qd)) < _AT_REST
        if ended and self.doing is Doing.FOLLOWING:
            self._rest(t)
        return clamps

    def _jog_step(self, t: float) -> list[Clamp]:
        dt, bounds = self._period, self._envelope.bounds
        if self._enter_intervention_step(Source.TELEOP, t - dt, self._jog.since):
            self._T_asked = self.T
        self._T_asked = jog.advanced(self._T_asked, *jog.in_base(self._jog, self._T_asked[:3, :3]), dt)
        self.steps.propose(self._T_asked)
        self._take_openness(self._jog.openness)
        v, w, clamps = jog.within_speed(*jog.in_base(self._jog, self.T[:3, :3]), bounds)
        v_now, w_now = self._cartesian.velocity
        v = jog.ramped(v_now, v, bounds.acceleration, dt)
        w = jog.ramped(w_now, w, bounds.angular_acceleration, dt)
        w, tilted = jog.braked_for_tilt(w, self.T[:3, :3], bounds, dt)
        if clamps or tilted:
            self.steps.clamped()
        return clamps + tilted + self._go_to(jog.advanced(self.T, v, w, dt))

    def _enter_intervention_step(self, source: Source, t: float, observed: float) -> bool:
        period = self._envelope.action.step_period
        index = max(0, math.floor((t - self._since) / period + 0.5 * self._period / period))
        label = StepLabel(source, self._intervention, index, period, observed)
        return self.steps.enter(label, t, self.T, self.openness)

    def _take_openness(self, wanted: float) -> None:
        if not math.isnan(wanted):
            self.openness = min(max(wanted, 0.0), 1.0)

    def _go_to(self, T_target: np.ndarray) -> list[Clamp]:
        """One cycle towards a pose (4, 4), inside the envelope; brakes where a limit stops the arm."""
        T, clamps = self._cartesian.step(T_target, self._period)
        q = self._envelope.joints(T, self.q)
        if q is None:
            clamps.append(Clamp("reach", 0.0, 0.0, "", "no joint configuration near the present one reaches the pose"))
        else:
            before = self._joints.qd
            q_new, joint_clamps = self._joints.step(q, self._period)
            clamps += joint_clamps
            if joint_clamps:
                q_new = self._no_faster(q_new, before, clamps)
        if q is None or any(self._envelope.stops(c) for c in clamps):
            if q is not None:
                self._joints.q, self._joints.qd = self.q, before
            self.brake()
            return clamps
        if clamps:
            self.steps.clamped()
        self.q = q_new
        if joint_clamps:
            self._cartesian.place(self._envelope.tcp(q_new), self._period)
        self.T = self._cartesian.T
        return clamps

    def _no_faster(self, q_new: np.ndarray, qd_before: np.ndarray, clamps: list[Clamp]) -> np.ndarray:
        """``q_new`` (6,), or the joints slowing down where joints that could not follow make the tool too fast."""
        speed = float(np.linalg.norm(self._envelope.tcp(q_new)[:3, 3] - self.T[:3, 3])) / self._period
        bound = self._envelope.bounds.speed
        if speed <= bound:
            return q_new
        clamps.append(Clamp("tcp_speed", speed, bound, "m/s"))
        self._joints.q, self._joints.qd = self.q, qd_before
        return self._joints.brake(self._period)

    def _move_step(self, t: float) -> list[Clamp]:
        move, since = self._move
        self.q, clamps = self._joints.step(move.at(t - since), self._period)
        self.T = self._envelope.tcp(self.q)
        if any(self._envelope.stops(c) for c in clamps):
            self.brake()
        elif t - since >= move.seconds and np.array_equal(self.q, move.goal):
            self._rest(t)
        return clamps

    def _brake_step(self, t: float) -> None:
        self.q = self._joints.brake(self._period)
        self.T = self._envelope.tcp(self.q)
        if not self._joints.qd.any():
            self._rest(t)

    def _rest(self, t: float) -> None:
        self.steps.close(t, self.T, self.openness)
        self._schedule.hold(self.T, self.openness)
        self.doing = Doing.HOLDING


def _label(setpoint: Setpoint, chunk: Chunk) -> StepLabel:
    proposed = chunk.actions_TD[setpoint.step] if setpoint.step >= 0 else None
    return StepLabel(
        chunk.source, setpoint.sequence, setpoint.step, chunk.step_period, chunk.observation_time, proposed
    )
