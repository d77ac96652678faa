"""The control-script role: what ur_rtde's uploaded program does with the command registers.

The script's main loop and threads are generators advanced once per controller tick, so that the
code reads like the program it stands for: a ``yield`` is the script's ``sync()``.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from prophrl_core import se3

from prophrl_sim.controller.arm import PERIOD, Arm
from prophrl_sim.controller.async_progress import FINISHED, STARTED, AsyncProgress
from prophrl_sim.controller.compliant_motions import ForceMode
from prophrl_sim.controller.contact_detection import ContactWatch, move_until_contact, retreat
from prophrl_sim.controller.motions import Servo, SpeedJ, SpeedL
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.script_functions import FUNCTIONS, RuntimeException
from prophrl_sim.controller.straight_program import move, run_move, stop
from prophrl_sim.controller.urscript import ControlScript, Pose

READY, DONE = 1, 2
MOVES = {1: "movej", 2: "movej_ik", 3: "movel", 4: "movel_fk"}
FORCE, FORCE_END, SPEED_J, SPEED_L, SERVO_J, SERVO_C = 6, 7, 9, 10, 11, 12
SPEED_STOP, SERVO_STOP, SERVO_L = 15, 16, 24
STOP_L, STOP_J, WATCHDOG, JOG, JOG_END, PATH = 33, 34, 35, 41, 42, 45
MOVE_UNTIL_CONTACT, CONTACT_START, CONTACT_STOP, CONTACT_READ, END = 51, 62, 63, 64, 255


class ControlScriptRole:
    """Runs one uploaded control script against the arm."""

    def __init__(self, script: ControlScript, arm: Arm, state: RobotState, set_watchdog: Callable[[float], None]):
        self.script, self.arm, self.state = script, arm, state
        self._set_watchdog = set_watchdog
        self._offset = script.register_offset
        self._progress = AsyncProgress()
        self._threads: dict[str, Iterator[None]] = {}
        self._main = self._main_loop()
        self._speeding_joints = False
        self._contact: ContactWatch | None = None
        self._contact_steps = 0
        self.gain_scaling = 0.5
        self.finished = False

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

    def tick(self) -> None:
        """Advance the main loop and every thread by one controller cycle. Raises RuntimeException."""
        if next(self._main, END) == END:
            self.finished = True
            return
        for name, thread in list(self._threads.items()):
            if next(thread, END) == END:
                self._threads.pop(name, None)

    def _main_loop(self) -> Iterator[None]:
        self._signal_progress(FINISHED)
        self.int_out(0, READY)
        executing = False
        while True:
            command = self.int_in(0)
            if command in self.script.realtime_commands:
                yield from self._process(command)
                self.int_out(0, READY)
            elif command == 0:
                executing = False
                yield from self._watch_contact()
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
            self._start_jog()
        elif command == MOVE_UNTIL_CONTACT:
            twist, direction, acceleration = self.floats_in(0), self.floats_in(6, 3), self.floats_in(12, 1)[0]
            yield from move_until_contact(self.arm, np.array(twist), np.array(direction), acceleration)
        elif command == CONTACT_START:
            self._contact, self._contact_steps = ContactWatch(self.arm, np.array(self.floats_in(0, 3))), 0
        elif command in (CONTACT_STOP, CONTACT_READ):
            self._contact = self._contact if command == CONTACT_READ else None
            self.int_out(1, self._contact_steps)
        elif command in FUNCTIONS:
            FUNCTIONS[command](self)

    def _watch_contact(self) -> Iterator[None]:
        """While no command runs, a detected contact ends the asynchronous move."""
        if self._contact is not None and self._contact.tick():
            self._contact_steps, self._contact = self._contact.steps, None
            self._end_asynchronous()
            yield from retreat(self.arm, self._contact_steps)

    def _run(self, name: str, thread: Iterator[None]) -> None:
        if name not in self._threads:
            if "stop" in self._threads:
                self._end_asynchronous()
            if self._threads:
                raise RuntimeException(f"{name} started while {next(iter(self._threads))} controls the robot")
            self._threads[name] = thread

    def _end_asynchronous(self) -> None:
        """Kill the asynchronous move or stop, where there is one."""
        if self._threads.pop("move", None) or self._threads.pop("stop", None):
            self._signal_progress(FINISHED)

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
        selection = np.array([self.int_in(i) for i in range(2, 8)], dtype=float)
        rotation = se3.rotvec_to_matrix(np.array(self.floats_in(3, 3)))
        self._force_arguments = (rotation, selection, np.array(self.floats_in(6)), np.array(self.floats_in(12)))
        self._run("force", self._force_thread())

    def _force_thread(self) -> Iterator[None]:
        motion = ForceMode(self.arm.kinematics, lambda: self.arm.external_wrench)
        self.arm.start(motion)
        while True:
            motion.rotation, motion.selection, motion.wrench, motion.limits = self._force_arguments
            motion.gain_scaling = self.gain_scaling
            yield

    def _start_jog(self) -> None:
        speed, (feature, acceleration) = np.array(self.floats_in(0)), self.floats_in(6, 2)
        frame = np.eye(3)
        if feature == 1.0:
            frame = self.arm.kinematics.forward(self.arm.plant.q)[:3, :3]
        elif feature == 2.0:
            frame = se3.rotvec_to_matrix(np.array(self.floats_in(11, 3)))
        self._jog_arguments = (np.concatenate([frame @ speed[:3], frame @ speed[3:]]), acceleration)
        self._run("jog", self._jog_thread())

    def _jog_thread(self) -> Iterator[None]:
        motion = SpeedL(self.arm.kinematics, self.arm.reference)
        self.arm.start(motion)
        while True:
            motion.target, motion.acceleration = self._jog_arguments
            yield

    def _start_move(self, moves: Iterator[None]) -> Iterator[None]:
        """Run moves in the foreground, or as the asynchronous move thread when integer register 1 asks so."""
        self._end_asynchronous()
        if self.int_in(1) == 1:
            self._run("move", self._asynchronous(moves))
        else:
            if self._threads:
                raise RuntimeException(f"a move was commanded while {next(iter(self._threads))} controls the robot")
            yield from moves

    def _asynchronous(self, moves: Iterator[None]) -> Iterator[None]:
        self._signal_progress(STARTED)
        yield from moves
        self._signal_progress(FINISHED)

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
        self._end_asynchronous()
        self._kill("servo", "speed", "force", "jog")
        stopping = stop(self.arm, deceleration, joints=command == STOP_J)
        if asynchronous:
            self._run("stop", self._asynchronous(stopping))
        else:
            yield from stopping

    def _signal_progress(self, value: int) -> None:
        self.int_out(2, self._progress.word(value))
