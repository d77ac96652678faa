"""The process that moves the arm: ``python -m prophrl_cell.arm.rtde_process``, started by the supervisor.

One loop on the monotonic clock. Each cycle, in the slack before the deadline: read the robot and judge it,
take commands, compute the next joints inside the envelope; at the deadline: send them; then report.
"""

import argparse
import os
import sys
import time
import traceback

import numpy as np
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec, load_task

from prophrl_cell.arm import dashboard
from prophrl_cell.arm.chunk_intake import ChunkIntake
from prophrl_cell.arm.envelope import Envelope
from prophrl_cell.arm.limiter import Clamp
from prophrl_cell.arm.link_health import Health, LinkHealth
from prophrl_cell.arm.motion import Doing, Motion
from prophrl_cell.arm.operator_hand import OperatorHand
from prophrl_cell.arm.realtime import Tick, die_after, enter_realtime, sleep_until
from prophrl_cell.arm.reports import Reports
from prophrl_cell.arm.robot_link import RobotLink
from prophrl_cell.arm.shared_state import ArmMemory, Command, Control, EventKind, Exit, Mode

_STILL = 0.02  # rad/s that every measured joint is below when the arm rests
_RESUME_WAIT = 2.0  # s that a word to resume waits for rest; later it would surprise
_START_LIMIT, _CYCLE_LIMIT, _LEAVE_LIMIT = 25.0, 2.0, 2.0  # s that the client library may hang
_MODE_OF_HEALTH = {
    Health.EMERGENCY_STOP: Mode.EMERGENCY_STOP,
    Health.PROTECTIVE_STOP: Mode.PROTECTIVE_STOP,
    Health.POWER: Mode.FAULT,
    Health.STALLED: Mode.HOLD,
}
_MODE_OF_MOTION = {
    Doing.HOLDING: Mode.READY,
    Doing.BRAKING: Mode.EXECUTING,
    Doing.FOLLOWING: Mode.EXECUTING,
    Doing.MOVING: Mode.MOVING,
    Doing.JOGGING: Mode.EXECUTING,
    Doing.GUIDED: Mode.FREEDRIVE,
}


class RtdeProcess:
    """Owns the link, the motion and the envelope.

    ``held`` is why the arm must not move before the operator's resume, empty when it may.
    """

    def __init__(self, memory: ArmMemory, cell: CellSpec, task: TaskSpec, held: str, openness: float):
        self._memory, self._cell, self._held, self._openness = memory, cell, held, openness
        self._reports = Reports(memory, cell.robot.servo_rate)
        self._envelope = Envelope(cell, task.action)
        self._episode_id = ""
        self._home_pending = self._stopping = self._pressed = False
        self._resume_until: float | None = None
        self._parent = os.getppid()

    def connect(self) -> None:
        """Open the session with the robot; UserError says why not. Nothing moves."""
        robot = self._cell.robot
        die_after(_START_LIMIT)
        self._reports.starting(f"connecting to {robot.ip}")
        dashboard.check_ready(robot.ip, robot.model)
        self._reports.realtime = enter_realtime()
        self._link = RobotLink(robot)
        self._reading = self._link.read()
        now = time.monotonic()
        self._health = LinkHealth(now)
        q = np.array(self._reading.q)
        self._motion = Motion(self._envelope, q, self._openness, 1.0 / robot.servo_rate, now)
        self._hand = OperatorHand(self._memory.teleop, self._motion, self._envelope, self._link)
        self._chunks = ChunkIntake(self._envelope, self._motion, self._hand, self._reports)

    def run(self) -> Exit:
        """Servo until told to stop or until the link is lost."""
        tick = Tick(1.0 / self._cell.robot.servo_rate)
        lead = min(0.003, 0.85 * tick.period)
        while True:
            die_after(_CYCLE_LIMIT)
            deadline = tick.advance()
            sleep_until(deadline - lead)
            now = time.monotonic()
            self._judge(now)
            if self._health.lost:
                return Exit.LINK_LOST
            self._take_commands(now)
            self._obey_operator(now)
            if self._stopping or os.getppid() != self._parent:
                self._stopping = True
                self._motion.brake()
                if self._motion.resting or self._health.now is not Health.GOOD:
                    self._leave()
                    return Exit.STOPPED
            self._advance(deadline)
            sleep_until(deadline)
            self._command(tick)

    def _judge(self, now: float) -> None:
        self._reading = reading = self._link.read()
        before = self._health.now
        health = self._health.judge(reading, self._link.connected, now)
        if health is not Health.GOOD:
            self._motion.brake()
            if health is not before:
                self._reports.log(self._health.reason, now)
        if health.needs_person or (health is Health.PROGRAM_STOPPED and not self._held):
            self._held = self._health.reason
        if before.needs_person and not health.needs_person:
            self._held = "unlocked; resume to continue"
        if health is Health.GOOD and before is Health.STALLED and self._health.last_stall > LinkHealth.FORGIVEN:
            self._held = f"the controller's stream stood still for {self._health.last_stall:.1f} s; resume when safe"
        if health is Health.GOOD and before is not Health.GOOD and before is not Health.STALLED:
            self._motion.rest_at(np.array(reading.q), now)
        if health is Health.GOOD:
            found = self._envelope.check_measured(np.array(reading.q), reading.wrench, self._motion.q)
            if found is not None and not self._held:
                self._stop(found, now)

    def _stop(self, found: Clamp, now: float) -> None:
        self._reports.envelope_event(EventKind.STOPPED, found, self._episode_id, now)
        self._held = f"{found.limit} {found.value:.3g} {found.unit} over {found.bound:.3g}: {found.detail}"
        self._pressed = found.limit == "contact_force"
        self._motion.brake()

    def _take_commands(self, now: float) -> None:
        for record in self._memory.commands.pop_all():
            kind = Command(int(record["kind"]))
            if kind is Command.CHUNK:
                self._chunks.take(record, self._mode(), self._episode_id, now)
            elif kind is Command.HOME:
                self._take_home(now)
            elif kind is Command.HOLD:
                self._motion.brake()
                self._resume_until = None
                self._held = "held by the operator; resume to continue"
            elif kind is Command.RESUME:
                self._resume(now)
            elif kind is Command.EPISODE_START:
                self._episode_id = record["episode_id"].decode()
                self._motion.begin_episode()
                self._hand.yields(now)
            elif kind is Command.EPISODE_STOP:
                self._episode_id = ""
                self._hand.yields(now)
                if self._motion.doing is Doing.FOLLOWING:
                    self._motion.brake()
            elif kind is Command.SHUTDOWN:
                self._stopping = True
        self._continue_when_still(now)
        if self._held or self._hand.control is Control.TELEOP:
            self._home_pending = False
        if self._home_pending and self._motion.resting:
            self._home_pending = False
            self._motion.openness = 1.0
            found = self._motion.move(np.array(self._cell.robot.home), self._cell.robot.home_speed, now)
            if found is not None:
                self._reports.envelope_event(EventKind.REFUSED, found, self._episode_id, now)
                self._held = f"home: {found.detail}"

    def _take_home(self, now: float) -> None:
        if self._hand.yields(now):
            self._motion.brake()
            self._home_pending = not self._held
        else:
            found = Clamp("control", 0.0, 0.0, "", "an operator has the arm; release the deadman, then go home")
            self._reports.envelope_event(EventKind.REFUSED, found, self._episode_id, now)

    def _obey_operator(self, now: float) -> None:
        health, before = self._health.now, self._hand.freed
        allowed = not self._held and not self._stopping and health in (Health.GOOD, Health.STALLED)
        self._hand.act(allowed, health is Health.GOOD, np.array(self._reading.q), now)
        for kind, found in self._hand.events:
            self._reports.envelope_event(kind, found, self._episode_id, now, kind is EventKind.REFUSED)
        self._hand.events.clear()
        if self._hand.freed is not before:
            self._health.sent(True, time.monotonic())  # no command goes out while the controller changes over

    def _resume(self, now: float) -> None:
        if self._health.now.needs_person or self._health.now is Health.STALLED:
            self._reports.log(f"resume refused: {self._health.reason}", now)
            return
        if self._health.now is Health.PROGRAM_STOPPED and not self._restart_program():
            return
        self._resume_until = time.monotonic() + _RESUME_WAIT

    def _continue_when_still(self, now: float) -> None:
        """Carry out the word to resume from where the arm is, once it rests there and the reading is a new one."""
        if self._resume_until is None:
            return
        if self._health.now is not Health.GOOD or now > self._resume_until:
            self._resume_until = None
            self._reports.log("resume refused: the arm does not rest; give the word again when it does", now)
        elif self._motion.resting and max(abs(v) for v in self._reading.qd) < _STILL:
            self._resume_until = None
            self._motion.rest_at(np.array(self._reading.q), now)
            self._held = ""

    def _restart_program(self) -> bool:
        die_after(_START_LIMIT)
        self._reports.starting("starting the control program again")
        done = self._link.restart_program()
        self._hand.restarted()
        now = time.monotonic()
        self._health.restart(now)
        self._reading = self._link.read()
        self._health.judge(self._reading, self._link.connected, now)
        if not done:
            self._held = "the control program did not start again; clear the pendant, unlock, then resume"
        self._motion.rest_at(np.array(self._reading.q), now)
        return done

    def _advance(self, deadline: float) -> None:
        if self._pressed and self._motion.resting:
            self._pressed = False
            self._motion.rest_at(np.array(self._reading.q), deadline)  # stop pressing
        _, clamps = self._motion.step(deadline)
        for clamp in clamps:
            if self._envelope.stops(clamp):
                self._stop(clamp, deadline)
            else:
                self._reports.envelope_event(EventKind.CLAMPED, clamp, self._episode_id, deadline)

    def _command(self, tick: Tick) -> None:
        stamp = time.monotonic()
        if self._health.now.commandable:
            try:
                self._health.sent(self._send(), stamp)
            except RuntimeError:
                self._health.sent(False, stamp)
        self._reports.cycle(
            stamp, self._reading, self._motion, self._mode(), self._hand.control, self._reason(), self._episode_id,
            tick.missed,
        )  # fmt: skip

    def _send(self) -> bool:
        if self._hand.freed:  # let go of and not to be had back: its watchdog stops the arm
            return self._motion.doing is Doing.GUIDED and self._link.keep_alive()
        return self._link.servo(self._motion.q.tolist(), self._hand.control is Control.TELEOP)

    def _mode(self) -> Mode:
        health = self._health.now
        if health in _MODE_OF_HEALTH:
            return _MODE_OF_HEALTH[health]
        return Mode.HOLD if self._held or health is not Health.GOOD else _MODE_OF_MOTION[self._motion.doing]

    def _reason(self) -> str:
        return self._health.reason if self._health.now in _MODE_OF_HEALTH else self._held

    def _leave(self) -> None:
        die_after(_LEAVE_LIMIT)
        if self._health.now is Health.GOOD:
            self._link.stop()


def main() -> None:
    """Run until stopped; always leaves by ``os._exit``, because the client library may crash on the way out."""
    parser = argparse.ArgumentParser(prog="rtde_process")
    parser.add_argument("--memory", type=int, required=True, help="file descriptor of the shared memory")
    parser.add_argument("--cell", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--held", default="", help="why the arm waits for the operator's resume")
    parser.add_argument("--openness", type=float, default=1.0, help="gripper openness commanded so far, 0..1")
    args = parser.parse_args()
    memory = ArmMemory.attach(args.memory)
    reports = Reports(memory, 0)
    try:
        process = RtdeProcess(memory, load_cell(args.cell), load_task(args.task), args.held, args.openness)
        process.connect()
        code = process.run()
    except UserError as error:
        reports.failed(str(error))
        code = Exit.REFUSED
    except Exception:
        reports.failed("the RTDE process failed: " + traceback.format_exc().strip().splitlines()[-1])
        traceback.print_exc()
        code = Exit.BUG
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
