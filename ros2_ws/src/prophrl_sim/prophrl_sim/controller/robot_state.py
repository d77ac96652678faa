"""Power, safety and program states of the emulated controller, its registers and its I/O.

Time here is controller time (seconds, advances 2 ms per tick). Bits and enumerations follow the RTDE guide.
"""

import enum
from dataclasses import dataclass, field


class RobotMode(enum.IntEnum):
    POWER_OFF = 3
    POWER_ON = 4
    IDLE = 5
    RUNNING = 7


class SafetyMode(enum.IntEnum):
    NORMAL = 1
    PROTECTIVE_STOP = 3
    SAFEGUARD_STOP = 5
    ROBOT_EMERGENCY_STOP = 7


class RuntimeState(enum.IntEnum):
    STOPPING = 0
    STOPPED = 1
    PLAYING = 2
    PAUSING = 3
    PAUSED = 4
    RESUMING = 5


_SAFETY_BITS = {
    SafetyMode.NORMAL: 1 << 0,
    SafetyMode.PROTECTIVE_STOP: 1 << 2 | 1 << 10,
    SafetyMode.SAFEGUARD_STOP: 1 << 4 | 1 << 10,
    SafetyMode.ROBOT_EMERGENCY_STOP: 1 << 6 | 1 << 7 | 1 << 10,
}


@dataclass(frozen=True)
class StateTiming:
    """How long transitions take, in seconds of controller time."""

    power_on: float = 0.5
    brake_release: float = 0.3
    stopping: float = 0.1
    unlock_delay: float = 5.0


@dataclass
class Registers:
    """General-purpose RTDE registers and I/O words."""

    input_int: list[int] = field(default_factory=lambda: [0] * 48)
    input_double: list[float] = field(default_factory=lambda: [0.0] * 48)
    output_int: list[int] = field(default_factory=lambda: [0] * 48)
    output_double: list[float] = field(default_factory=lambda: [0.0] * 48)
    digital_outputs: int = 0
    analog_outputs: list[float] = field(default_factory=lambda: [0.0, 0.0])
    external_wrench: tuple[float, ...] = (0.0,) * 6


class RobotState:
    """The state machine: what the pendant would show. Every method is instant; ``advance`` lets time pass."""

    def __init__(self, timing: StateTiming = StateTiming()):
        self.timing = timing
        self.time = 0.0
        self.mode = RobotMode.RUNNING
        self.safety = SafetyMode.NORMAL
        self.runtime = RuntimeState.STOPPED
        self.remote = True
        self.speed_slider = 1.0
        self.estop_pressed = False
        self.stop_reason = ""
        self.registers = Registers()
        self._due: tuple[float, RobotMode] | None = None
        self._brakes_asked = False
        self._runtime_due: float | None = None
        self._stopped_at = 0.0

    def advance(self, dt: float) -> None:
        self.time += dt
        if self._due and self.time >= self._due[0]:
            self.mode, self._due = self._due[1], None
            if self.mode is RobotMode.IDLE and self._brakes_asked:
                self._due = (self.time + self.timing.brake_release, RobotMode.RUNNING)
        if self._runtime_due is not None and self.time >= self._runtime_due:
            self.runtime, self._runtime_due = RuntimeState.STOPPED, None

    @property
    def can_move(self) -> bool:
        return self.mode is RobotMode.RUNNING and self.safety is SafetyMode.NORMAL

    @property
    def program_runs(self) -> bool:
        return self.runtime is RuntimeState.PLAYING

    @property
    def status_bits(self) -> int:
        powered = self.mode in (RobotMode.IDLE, RobotMode.RUNNING)
        active = self.runtime in (RuntimeState.PLAYING, RuntimeState.PAUSED, RuntimeState.PAUSING)
        return (1 if powered else 0) | (2 if active else 0)

    @property
    def safety_bits(self) -> int:
        return _SAFETY_BITS[self.safety]

    def power_on(self) -> None:
        if self.mode is RobotMode.POWER_OFF and not self.estop_pressed:
            self.safety = SafetyMode.NORMAL
            self.mode = RobotMode.POWER_ON
            self._due = (self.time + self.timing.power_on, RobotMode.IDLE)

    def power_off(self) -> None:
        self.stop_program("power off")
        self.mode, self._due, self._brakes_asked = RobotMode.POWER_OFF, None, False

    def release_brakes(self) -> None:
        if self.mode is RobotMode.POWER_OFF:
            self.power_on()
        if self.mode is RobotMode.POWER_ON:
            self._brakes_asked = True
        elif self.mode is RobotMode.IDLE and self._due is None:
            self._due = (self.time + self.timing.brake_release, RobotMode.RUNNING)

    def play(self) -> bool:
        """Start or resume a program; False when the robot is not ready for it."""
        if not self.can_move:
            return False
        self.runtime, self._runtime_due = RuntimeState.PLAYING, None
        return True

    def pause(self) -> None:
        if self.runtime is RuntimeState.PLAYING:
            self.runtime = RuntimeState.PAUSED

    def stop_program(self, reason: str) -> None:
        if self.runtime not in (RuntimeState.STOPPED, RuntimeState.STOPPING):
            self.runtime = RuntimeState.STOPPING
            self._runtime_due = self.time + self.timing.stopping
            self.stop_reason = reason

    def protective_stop(self, reason: str, keep_program: bool = False) -> None:
        """Category 2 stop. A program sent over a socket ends with it, unless ``keep_program``."""
        if self.safety is not SafetyMode.NORMAL:
            return
        self.safety = SafetyMode.PROTECTIVE_STOP
        self._stopped_at = self.time
        if not keep_program:
            self.stop_program(reason)
        self.stop_reason = reason

    def unlock_protective_stop(self) -> bool:
        """False while the stop is younger than the delay the real controller insists on."""
        if self.safety is SafetyMode.PROTECTIVE_STOP:
            if self.time - self._stopped_at < self.timing.unlock_delay:
                return False
            self.safety = SafetyMode.NORMAL
        return True

    def press_estop(self) -> None:
        self.estop_pressed = True
        self.power_off()
        self.safety = SafetyMode.ROBOT_EMERGENCY_STOP

    def release_estop(self) -> None:
        """The button is pulled out: safety is normal again, the arm stays powered off."""
        if self.estop_pressed:
            self.estop_pressed = False
            self.safety = SafetyMode.NORMAL
