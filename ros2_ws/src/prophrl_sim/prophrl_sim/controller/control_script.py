"""The control-script role: what ur_rtde's uploaded program does with the command registers.

The script's main loop and threads are generators advanced once per controller tick, so that the
code reads like the program it stands for: a ``yield`` is the script's ``sync()``.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from prophrl_core import se3
from prophrl_sim.controller.arm import PERIOD, Arm
from prophrl_sim.controller.motions import ForceMode, Servo, SpeedJ, SpeedL
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.script_functions import FUNCTIONS, RuntimeException
from prophrl_sim.controller.straight_program import move, run_move, stop
from prophrl_sim.controller.urscript import ControlScript, Pose

READY, DONE = 1, 2
MOVES = {1: "movej", 2: "movej_ik", 3: "movel", 4: "movel_fk"}
FORCE, FORCE_END, SPEED_J, SPEED_L, SERVO_J, SERVO_C = 6, 7, 9, 10, 11, 12
SPEED_STOP, SERVO_STOP, SERVO_L = 15, 16, 24
STOP_L, STOP_J, WATCHDOG, JOG, JOG_END, PATH = 33, 34, 35, 41, 42, 45
MOVE_UNTIL_CONTACT, END = 51, 255


class ControlScriptRole:
    """Runs one uploaded control script against the arm."""

    def __init__(self, script: ControlScript, arm: Arm, state: RobotState, set_watchdog: Callable[[float], None]):
        self.script, self.arm, self.state = script, arm, state
        self._set_watchdog = set_watchdog
        self._offset = script.register_offset
        self._progress_writes = self._operation = 0
        self._threads: dict[str, Iterator[None]] = {}
        self._main = self._main_loop()
        self.gain_scaling = 0.5
        self.finished = False

    # registers ---------------------------------------------------------------------------------

    def int_in(self, index: int) -> int:
        return self.state.registers.input_int[index + self._offset]

    def floats_in(self, first: int, count: int = 6) -> list[float]:
        """Double registers; the program ends when one is not finite, as every function that took it would fail."""
        start = first + self._offset
        values = self.state.registers.input_double[start : start + count]
        if not all(map(math.isfinite, values)):
            raise RuntimeException(f"double registers {first} to {first + count - 1} are not all finite")
        return values

    def int_out(self, index: int, value: int) -> None:
        self.state.registers.set_output_int(index + self._offset, value)

    def floats_out(self, values) -> None:
        for i, value in enumerate(values):
            self.state.registers.set_output_double(i + self._offset, float(value))

    # the program -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Advance the main loop and every thread by one controller cycle. Raises RuntimeException."""
        if next(self._main, END) == END:
            self.finished = True
            return
        for name, thread in list(self._threads.items()):
            if next(thread, END) == END:
                self._threads.pop(name, None)

    def _main_loop(self) -> Iterator[None]:
        self._signal_progress(-1)
        self.int_out(0, READY)
        executing = False
        while True:
            command = self.int_in(0)
            if command in self.script.realtime_commands:
                yield from self._process(command)
                self.int_out(0, READY)
            elif command == 0:
                executing = False
                self.int_out(0, READY)
            elif not executing:
                if command == END:
                    return
                yield from self._process(command)
                self.int_out(0, DONE)
                executing = True
            yield

    def _process(self, command: int) -> Iterator[None]:
        if command in (SERVO_J, SERVO_L, SERVO_C):
            self._servo(command)
        elif command in (SPEED_J, SPEED_L):
            self._speed(command)
        elif command == FORCE:
            self._force()
        elif command in MOVES:
            yield from self._start_move(self._one_move(MOVES[command], self.floats_in(0, 8)))
        elif command == PATH:
            yield from self._start_move(self._path())
        elif command in (SPEED_STOP, SERVO_STOP, FORCE_END, JOG_END):
            self._kill("servo", "speed", "force", "jog")
            deceleration = {FORCE_END: 10.0, JOG_END: 1.2}.get(command, self.floats_in(0, 1)[0])
            yield from stop(self.arm, deceleration, joints=command == SPEED_STOP and self._speeding_joints)
        elif command in (STOP_L, STOP_J):
            yield from self._stop_command(command)
        elif command == WATCHDOG:
            self._set_watchdog(self.floats_in(0, 1)[0])
        elif command == JOG:
            self._run("jog", self._jog())
        elif command == MOVE_UNTIL_CONTACT:
            yield from self._move_until_contact()
        elif command in FUNCTIONS:
            FUNCTIONS[command](self)

    # threads -----------------------------------------------------------------------------------

    def _run(self, name: str, thread: Iterator[None]) -> None:
        if name not in self._threads:
            if self._threads.keys() - {"stop"}:
                raise RuntimeException(f"{name} started while {next(iter(self._threads))} controls the robot")
            self._threads[name] = thread

    def _kill(self, *names: str) -> None:
        for name in names:
            self._threads.pop(name, None)

    def _servo(self, command: int) -> None:
        target = self.floats_in(0)
        if command == SERVO_J:
            q = np.array(target)
        else:
            q = self.arm.joints_for(target)
            if q is None:
                raise RuntimeException("get_inverse_kin: no solution for the servo target")
        self._servo_target = q
        time, lookahead, gain = self.floats_in(8, 3) if command != SERVO_C else (PERIOD, 0.1, 300.0)
        self._servo_arguments = (time, lookahead, gain)
        self._run("servo", self._servo_thread())

    def _servo_thread(self) -> Iterator[None]:
        motion = Servo(self.arm.reference, self.arm.max_speed, PERIOD)
        self.arm.start(motion)
        while True:
            time, lookahead, gain = self._servo_arguments
            motion.configure(lookahead, gain)
            motion.aim(self._servo_target)
            for _ in range(max(1, round(min(time, 1.0) / PERIOD))):
                yield

    _speeding_joints = False

    def _speed(self, command: int) -> None:
        self._speeding_joints = command == SPEED_J
        self._speed_arguments = (command, np.array(self.floats_in(0)), *self.floats_in(6, 2))
        self._run("speed", self._speed_thread())

    def _speed_thread(self) -> Iterator[None]:
        kind, motion = None, None
        while True:
            command, target, acceleration, time = self._speed_arguments
            if command != kind:
                joints = command == SPEED_J
                motion = SpeedJ(self.arm.max_speed) if joints else SpeedL(self.arm.kinematics, self.arm.reference)
                kind = command
                self.arm.start(motion)
            motion.target, motion.acceleration, motion.reached = target, acceleration, False
            ticks = round(time / PERIOD) if time > 0.0 else 0
            yield
            while ticks > 1 or (time <= 0.0 and not motion.reached):
                ticks -= 1
                yield

    def _force(self) -> None:
        self._run("force", self._force_thread())

    def _force_thread(self) -> Iterator[None]:
        motion = ForceMode(self.arm.kinematics, lambda: self.arm.external_wrench)
        self.arm.start(motion)
        while True:
            motion.selection = np.array([self.int_in(i) for i in range(2, 8)], dtype=float)
            motion.rotation = se3.rotvec_to_matrix(np.array(self.floats_in(3, 3)))
            motion.wrench, motion.limits = np.array(self.floats_in(6)), np.array(self.floats_in(12))
            motion.gain_scaling = self.gain_scaling
            yield

    def _jog(self) -> Iterator[None]:
        motion = SpeedL(self.arm.kinematics, self.arm.reference)
        self.arm.start(motion)
        feature = self.floats_in(6, 1)[0]
        frame = np.eye(3)
        if feature == 1.0:
            frame = self.arm.kinematics.forward(self.arm.plant.q)[:3, :3]
        elif feature == 2.0:
            frame = se3.rotvec_to_matrix(np.array(self.floats_in(11, 3)))
        while True:
            speed = np.array(self.floats_in(0))
            motion.target = np.concatenate([frame @ speed[:3], frame @ speed[3:]])
            motion.acceleration = self.floats_in(7, 1)[0]
            yield

    # moves -------------------------------------------------------------------------------------

    def _start_move(self, moves: Iterator[None]) -> Iterator[None]:
        """Run moves in the foreground, or as the asynchronous move thread when integer register 1 asks so."""
        if self._threads.pop("move", None):
            self._signal_progress(-1)
        if self.int_in(1) == 1:
            self._run("move", self._asynchronous(moves))
        else:
            self._kill("stop")
            if self._threads:
                raise RuntimeException(f"a move was commanded while {next(iter(self._threads))} controls the robot")
            yield from moves

    def _asynchronous(self, moves: Iterator[None]) -> Iterator[None]:
        self._signal_progress(0)
        yield from moves
        self._signal_progress(-1)

    def _one_move(self, name: str, numbers: list[float]) -> Iterator[None]:
        target, speed, acceleration = numbers[:6], numbers[6], numbers[7]
        if name in ("movej_ik", "movel"):
            target = Pose(target)
        yield from move(self.arm, name.startswith("movel"), target, speed, acceleration)

    def _path(self) -> Iterator[None]:
        """The waypoints that ur_rtde wrote into the script."""
        for statement in self.script.path:
            if statement.name == "signal_async_progress":
                self._signal_progress(int(statement.args[0]))
            else:
                yield from run_move(self.arm, statement)

    def _stop_command(self, command: int) -> Iterator[None]:
        deceleration, asynchronous = self.floats_in(0, 1)[0], self.int_in(1) == 1
        if self._threads.pop("stop", None) or self._threads.pop("move", None):
            self._signal_progress(-1)
        self._kill("servo", "speed", "force", "jog")
        stopping = stop(self.arm, deceleration, joints=command == STOP_J)
        if asynchronous:
            self._run("stop", self._asynchronous(stopping))
        else:
            yield from stopping

    def _move_until_contact(self) -> Iterator[None]:
        motion = SpeedL(self.arm.kinematics, self.arm.reference)
        motion.target = np.array(self.floats_in(0))
        direction, motion.acceleration = np.array(self.floats_in(6, 3)), self.floats_in(12, 1)[0]
        if not np.any(direction):
            direction = motion.target[:3]
        self.arm.start(motion)
        while self.arm.contact_steps(direction) == 0:
            yield
        q = self.arm.joints_ago(self.arm.contact_steps(direction))
        yield from stop(self.arm, 3.0, joints=False)
        yield from move(self.arm, True, q.tolist(), 0.25, 1.2)

    def _signal_progress(self, value: int) -> None:
        """Write the asynchronous-progress register: bits 24-30 operation, 16-22 writes, 15 running, 0-14 value."""
        self._progress_writes = (self._progress_writes + 1) % 128
        if value == 0:
            self._operation = (self._operation + 1) % 128
        word = self._progress_writes << 16 | self._operation << 24
        if value >= 0:
            word |= 1 << 15 | min(value, 32767)
        self.int_out(2, word)
