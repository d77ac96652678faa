"""Power, safety and program states of the emulated controller, its registers and its I/O.

Time here is controller time (seconds, advances 2 ms per tick). Bits and enumerations follow the RTDE guide.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from prophrl_sim.controller.rtde_protocol import OUTPUT_TYPES, empty_value

_INPUT_INT = [f"input_int_register_{i}" for i in range(48)]
_INPUT_DOUBLE = [f"input_double_register_{i}" for i in range(48)]
_OUTPUT_INT = [f"output_int_register_{i}" for i in range(48)]
_OUTPUT_DOUBLE = [f"output_double_register_{i}" for i in range(48)]


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


class Registers:
    """General-purpose RTDE registers and I/O words, and ``fields``: every RTDE output by name.

    ``fields`` maps a field's name to its numbers; fields that the simulated arm does not have stay zero.
    """

    def __init__(self):
        self.fields: dict[str, Sequence] = {name: empty_value(kind) for name, kind in OUTPUT_TYPES.items()}
        self.input_int = [0] * 48
        self.input_double = [0.0] * 48
        self.digital_outputs = 0

    def set_output_int(self, index: int, value: int) -> None:
        """``value`` wraps around as a 32-bit register does."""
        value = (value + (1 << 31)) % (1 << 32) - (1 << 31)
        self.fields[_OUTPUT_INT[index]] = (value,)

    def set_output_double(self, index: int, value: float) -> None:
        self.fields[_OUTPUT_DOUBLE[index]] = (value,)

    def set_input_int(self, index: int, value: int) -> None:
        self.input_int[index] = value
        self.fields[_INPUT_INT[index]] = (value,)

    def set_input_double(self, index: int, value: float) -> None:
        self.input_double[index] = value
        self.fields[_INPUT_DOUBLE[index]] = (value,)

    def set_digital_outputs(self, word: int) -> None:
        """Bits 0-7 standard, 8-15 configurable, 16-17 tool."""
        self.digital_outputs = word
        self.fields["actual_digital_output_bits"] = (word,)


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

    def set_speed_slider(self, fraction: float) -> None:
        """Finite fractions only, clamped to 0..1."""
        if math.isfinite(fraction):
            self.speed_slider = min(1.0, max(0.0, fraction))

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
