"""Reference motions of the emulated controller: what it commands its joints, tick by tick.

A motion's ``step(reference, dt)`` moves the joint reference by ``dt`` seconds of program time and returns
True when the motion has ended. Program time runs slower than real time when the speed slider is below 1.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from prophrl_core import se3

from prophrl_sim.controller.tcp_kinematics import TcpKinematics
from prophrl_sim.servo import ServoConfig, ServoJ

AT_REST = 1e-4


class MotionFault(Exception):
    """The motion cannot go on (out of reach, through a singularity): the controller protective-stops."""


@dataclass
class Reference:
    """Joint reference: positions ``q`` (6,) rad and speeds ``qd`` (6,) rad/s."""

    q: np.ndarray
    qd: np.ndarray

    def advance_to(self, q: np.ndarray, dt: float) -> None:
        if dt > 0.0:
            self.qd = (q - self.q) / dt
        self.q = q

    @property
    def at_rest(self) -> bool:
        return bool(np.max(np.abs(self.qd)) < AT_REST)


class Motion(Protocol):
    def step(self, reference: Reference, dt: float) -> bool: ...


class Hold:
    """Keep the reference where it is."""

    def step(self, reference: Reference, dt: float) -> bool:
        reference.qd = np.zeros(6)
        return True


class Trapezoid:
    """Distance over time from rest to rest, at most ``speed`` and ``acceleration``."""

    def __init__(self, distance: float, speed: float, acceleration: float):
        if speed <= 0.0 or acceleration <= 0.0:
            raise MotionFault(f"speed {speed:g} and acceleration {acceleration:g} must be positive")
        self.distance, self.acceleration = distance, acceleration
        self.speed = min(speed, math.sqrt(distance * acceleration))
        self._ramp = self.speed / acceleration
        self.duration = self._ramp + (distance / self.speed if self.speed > 0.0 else 0.0)

    def fraction(self, t: float) -> float:
        """Part of the way covered after ``t`` seconds, 0 to 1."""
        if t >= self.duration or self.distance <= 0.0:
            return 1.0
        if t < self._ramp:
            covered = 0.5 * self.acceleration * t * t
        elif t < self.duration - self._ramp:
            covered = self.speed * (t - 0.5 * self._ramp)
        else:
            covered = self.distance - 0.5 * self.acceleration * (self.duration - t) ** 2
        return covered / self.distance


class MoveJ:
    """Straight in joint space; ``speed`` (rad/s) and ``acceleration`` (rad/s^2) of the leading joint."""

    def __init__(self, start: np.ndarray, goal: np.ndarray, speed: float, acceleration: float, max_speed: np.ndarray):
        self._start, self._way = start.copy(), goal - start
        lead = float(np.max(np.abs(self._way)))
        moving = self._way != 0.0
        allowed = float(np.min(max_speed[moving] * lead / np.abs(self._way[moving]))) if moving.any() else speed
        self._profile = Trapezoid(lead, min(speed, allowed), acceleration)
        self._time = 0.0

    def step(self, reference: Reference, dt: float) -> bool:
        self._time += dt
        reference.advance_to(self._start + self._profile.fraction(self._time) * self._way, dt)
        return self._time >= self._profile.duration


class MoveL:
    """TCP on a straight line; ``speed`` m/s and ``acceleration`` m/s^2. A turn counts as its arc at 0.2 m."""

    LEVER = 0.2

    def __init__(
        self, kinematics: TcpKinematics, start: np.ndarray, goal: np.ndarray, speed: float, acceleration: float
    ):
        """``start`` joints (6,), ``goal`` T_base_tcp (4, 4)."""
        self._kinematics = kinematics
        self._from, self._to = kinematics.forward(start), goal
        length = float(np.linalg.norm(goal[:3, 3] - self._from[:3, 3]))
        turn = float(se3.rotation_angle(self._from[:3, :3].T @ goal[:3, :3]))
        self._profile = Trapezoid(max(length, turn * self.LEVER), speed, acceleration)
        self._time = 0.0

    def step(self, reference: Reference, dt: float) -> bool:
        self._time += dt
        pose = se3.interpolate(self._from, self._to, self._profile.fraction(self._time))
        q = self._kinematics.joints_for(pose, reference.q)
        if q is None:
            raise MotionFault("linear motion leaves the reach of the arm")
        reference.advance_to(q, dt)
        return self._time >= self._profile.duration


class Stop:
    """Bring the joints to rest along their present direction within ``duration`` seconds."""

    def __init__(self, reference: Reference, duration: float):
        self._qd, self._left = reference.qd.copy(), duration
        self._rate = self._qd / duration if duration > 0.0 else np.zeros(6)

    @classmethod
    def joints(cls, reference: Reference, deceleration: float) -> "Stop":
        """stopj: ``deceleration`` in rad/s^2 of the fastest joint."""
        return cls(reference, float(np.max(np.abs(reference.qd))) / max(deceleration, 1e-3))

    @classmethod
    def tool(cls, reference: Reference, deceleration: float, kinematics: TcpKinematics) -> "Stop":
        """stopl: ``deceleration`` of the TCP in m/s^2 (rad/s^2 when it only turns)."""
        _, twist = kinematics.state(reference.q, reference.qd)
        fastest = max(math.dist(twist[:3], (0, 0, 0)), math.dist(twist[3:], (0, 0, 0)))
        return cls(reference, fastest / max(deceleration, 1e-3))

    def step(self, reference: Reference, dt: float) -> bool:
        dt = min(dt, self._left)
        end = reference.qd - self._rate * dt
        reference.q = reference.q + 0.5 * (reference.qd + end) * dt
        reference.qd = end
        self._left -= dt
        if self._left <= 1e-9:
            reference.qd = np.zeros(6)
            return True
        return False


class SpeedJ:
    """Joint speeds ramp to ``target`` (6,) rad/s at ``acceleration`` rad/s^2."""

    def __init__(self, max_speed: np.ndarray):
        self._max_speed = max_speed
        self.target, self.acceleration = np.zeros(6), 0.5
        self.reached = False

    def step(self, reference: Reference, dt: float) -> bool:
        target = np.clip(self.target, -self._max_speed, self._max_speed)
        change = target - reference.qd
        largest = float(np.max(np.abs(change)))
        share = min(1.0, self.acceleration * dt / largest) if largest > 0.0 else 1.0
        self.reached = share >= 1.0
        reference.qd = reference.qd + share * change
        reference.q = reference.q + reference.qd * dt
        return False


class SpeedL:
    """TCP twist ramps to ``target`` (6,) m/s, rad/s in base at ``acceleration`` m/s^2."""

    def __init__(self, kinematics: TcpKinematics, reference: Reference):
        self._kinematics = kinematics
        self._twist = np.array(kinematics.state(reference.q, reference.qd)[1])
        self.target, self.acceleration = np.zeros(6), 0.5
        self.reached = False

    def step(self, reference: Reference, dt: float) -> bool:
        change = self.target - self._twist
        largest = max(float(np.linalg.norm(change[:3])), float(np.linalg.norm(change[3:])))
        share = min(1.0, self.acceleration * dt / largest) if largest > 0.0 else 1.0
        self.reached = share >= 1.0
        self._twist = self._twist + share * change
        qd = self._kinematics.joint_speeds(reference.q, self._twist)
        excess = float(np.max(np.abs(qd) / self._kinematics.model.max_speed))
        reference.qd = qd / max(1.0, excess)
        reference.q = reference.q + reference.qd * dt
        return False


class Servo:
    """servoj: follow ``target`` (6,) through the filter that the fast environment uses too."""

    MAX_JUMP = 0.6  # rad between consecutive targets

    def __init__(self, reference: Reference, max_speed: np.ndarray, period: float):
        self._max_speed, self._period, self._scale = max_speed, period, 1.0
        self._filter = ServoJ(max_speed, period)
        self._filter.reset(reference.q, reference.qd)
        self.target = reference.q.copy()

    def aim(self, target: np.ndarray) -> None:
        """Take a new target. Raises MotionFault when it is far from the last one, or no number."""
        jump = np.abs(target - self.target)
        if not jump.max() <= self.MAX_JUMP:
            raise MotionFault(f"sudden change in target position of joint {int(jump.argmax())}")
        self.target = target

    def configure(self, lookahead_time: float, gain: float) -> None:
        config = ServoConfig(lookahead_time=min(0.2, max(0.03, lookahead_time)), gain=min(2000.0, max(100.0, gain)))
        if config != self._filter.config:
            self._filter.configure(config)

    def step(self, reference: Reference, dt: float) -> bool:
        if dt != self._scale * self._period:
            self._limit_speed(reference, dt / self._period)
        reference.q, reference.qd = self._filter.step(self.target), self._filter.qd
        return False

    def _limit_speed(self, reference: Reference, scale: float) -> None:
        """The speed slider moved: joints may go at ``scale`` of their speed."""
        self._scale = scale
        self._filter = ServoJ(self._max_speed * scale, self._period, self._filter.config)
        self._filter.reset(reference.q, reference.qd * min(scale, 1.0))
