"""The emulated controller: ports, program and arm put together; ``tick`` is its 2 ms cycle."""

import time
from collections import deque

from prophrl_core.cell import GripperSpec
from prophrl_core.ur_models import URModel

from prophrl_sim.controller.arm import PERIOD, Arm, ArmPlant
from prophrl_sim.controller.control_script import ControlScriptRole
from prophrl_sim.controller.dashboard import Dashboard
from prophrl_sim.controller.event_loop import EventLoop
from prophrl_sim.controller.motions import MotionFault
from prophrl_sim.controller.outputs import OutputFields
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.robotiq_socket import RobotiqSocket
from prophrl_sim.controller.rtde_server import RtdeServer
from prophrl_sim.controller.script_functions import RuntimeException
from prophrl_sim.controller.script_port import SCRIPT_PORTS, ScriptPort
from prophrl_sim.controller.straight_program import StraightProgram
from prophrl_sim.controller.tool_output_gripper import ToolOutputGripper
from prophrl_sim.controller.urscript import ControlScript, ScriptError, parse_program

_TRACE_TICKS = 60 * 500
_WATCHDOG_OFF = 0.0


class Controller:
    """One controller on the address ``host``, driving ``plant`` as an arm of ``model``."""

    def __init__(self, loop: EventLoop, host: str, plant: ArmPlant, model: URModel, gripper: GripperSpec):
        self.loop = loop
        self.state = RobotState()
        self.arm = Arm(plant, model, self.state)
        self.outputs = OutputFields(self.state, self.arm)
        self.rtde = RtdeServer(loop.robot, host, self.state, self.outputs.subscribe)
        self.dashboard = Dashboard(loop.robot, host, self.state, model.name.upper())
        scripts = [ScriptPort(loop.robot, host, port, self.run_program) for port in SCRIPT_PORTS]
        self.services = [self.rtde, self.dashboard, *scripts]
        if gripper.driver == "robotiq_socket":
            self.gripper = RobotiqSocket(loop.robot, host, gripper.port, self.arm)
            self.services.append(self.gripper)
        else:
            self.gripper = ToolOutputGripper(gripper, self.arm, self.state)
        loop.services += self.services
        self.program: ControlScriptRole | StraightProgram | None = None
        self.motion_trace: deque[tuple] = deque(maxlen=_TRACE_TICKS)
        self._watchdog_hz = _WATCHDOG_OFF
        self._watchdog_since = 0.0
        self._watched_register = ""
        self._tick_seconds = 0.0

    def open(self) -> None:
        """Listen on every port. Raises OSError when one is taken; then none is left open."""
        try:
            for service in self.services:
                service.open()
        except OSError:
            self.close()
            raise

    def close(self, abruptly: bool = False) -> None:
        for service in self.services:
            service.close(abruptly)

    def run_program(self, text: str) -> None:
        """A program came over a script port: it replaces the running one. Ignored in local mode or when not ready."""
        if not self.state.remote or not self.state.can_move:
            return
        self._end_program()
        try:
            program = parse_program(text)
        except ScriptError as error:
            self.state.stop_reason = str(error)
            return
        if isinstance(program, ControlScript):
            self.program = ControlScriptRole(program, self.arm, self.state, self._set_watchdog)
            self._watched_register = f"input_int_register_{program.register_offset}"
        else:
            self.program = StraightProgram(program, self.arm, self.state)
        self.state.play()

    def tick(self) -> None:
        """One 2 ms cycle."""
        started = time.monotonic()
        self.state.advance(PERIOD)
        self._run_program()
        self.arm.tick()
        self.gripper.tick()
        self.outputs.refresh(self._tick_seconds)
        self.rtde.stream()
        reference, q = self.arm.reference.q, self.arm.plant.q
        self.motion_trace.append((started, self.state.time, reference, q))
        self._tick_seconds = time.monotonic() - started

    def _run_program(self) -> None:
        if self.program is None:
            return
        if not self.state.program_runs:
            if self.state.status_bits & 2 == 0:
                self._end_program()
            return
        try:
            self.program.tick()
        except MotionFault as fault:
            self.state.protective_stop(str(fault))
            return
        except (RuntimeException, ScriptError) as error:
            self.stop_program(str(error))
            return
        if self.program.finished:
            self.stop_program("the program ended")
        elif self._watchdog_hz > 0.0:
            seen = max(self._watchdog_since, self.rtde.last_update.get(self._watched_register, 0.0))
            if self.state.time - seen > 1.0 / self._watchdog_hz:
                self.stop_program("watchdog: the client went silent")

    def _set_watchdog(self, minimum_hz: float) -> None:
        self._watchdog_hz, self._watchdog_since = minimum_hz, self.state.time

    def stop_program(self, reason: str) -> None:
        """Whatever runs ends, and nothing is left to resume."""
        self.state.stop_program(reason)
        self._end_program()

    def _end_program(self) -> None:
        """The program's threads die and the arm decelerates."""
        if self.program is not None:
            self.program = None
            self._watchdog_hz = _WATCHDOG_OFF
            self.arm.end_program_motion()
