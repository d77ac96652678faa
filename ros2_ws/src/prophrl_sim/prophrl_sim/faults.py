"""Fault injection: what a control-port client may do to the emulated controller and the cameras."""

import dataclasses
import math
from collections.abc import Callable

from prophrl_sim.controller.controller import Controller
from prophrl_sim.controller.robot_state import RobotMode, SafetyMode

FOREVER = math.inf
MAX_SECONDS = 3600.0
RETRY_SECONDS = 0.2  # until ports that are still taken are tried again


class FaultError(ValueError):
    """The fault request makes no sense; the text says why."""


@dataclasses.dataclass(frozen=True)
class FaultRequest:
    """``seconds``: how long (0: until cleared); ``rate``: lost fraction; ``keep_program``: for protective stops."""

    kind: str
    seconds: float = 0.0
    rate: float = 0.2
    keep_program: bool = False

    @classmethod
    def parse(cls, message: dict) -> "FaultRequest":
        """Raises FaultError on unknown kinds and values out of range."""
        kind = message.get("kind")
        if kind not in KINDS:
            raise FaultError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        seconds, rate = message.get("seconds", 0.0), message.get("rate", 0.2)
        for name, value, top in (("seconds", seconds, MAX_SECONDS), ("rate", rate, 1.0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= top:
                raise FaultError(f"{name}: expected a number from 0 to {top:g}, got {value!r}")
        return cls(kind, float(seconds), float(rate), bool(message.get("keep_program", False)))


class Faults:
    """Injects faults and takes them back when their time is up. Time is the host's monotonic clock."""

    def __init__(self, controller: Controller, stall_camera: Callable[[float], None]):
        """``stall_camera(until)``: no frames before that monotonic time."""
        self._controller, self._stall_camera = controller, stall_camera
        self._until: dict[str, float] = {}

    @property
    def stalled(self) -> bool:
        return "stall" in self._until

    def inject(self, request: FaultRequest, now: float) -> None:
        until = now + request.seconds if request.seconds else FOREVER
        getattr(self, "_" + request.kind)(request, until)

    def tick(self, now: float) -> None:
        """Take back what has lasted long enough."""
        for kind, until in list(self._until.items()):
            if now >= until:
                try:
                    _UNDO[kind](self)
                    del self._until[kind]
                except OSError:
                    self._until[kind] = now + RETRY_SECONDS

    def _stall(self, request: FaultRequest, until: float) -> None:
        self._until["stall"] = until
        self._controller.loop.stall(True)

    def _drop(self, request: FaultRequest, until: float) -> None:
        self._until["drop"] = until
        self._controller.rtde.drop_rate = request.rate

    def _silence(self, request: FaultRequest, until: float) -> None:
        self._until["silence"] = until
        self._controller.rtde.silent = True

    def _kill(self, request: FaultRequest, until: float) -> None:
        self._until["kill"] = until
        self._controller.close(abruptly=True)
        self._controller.stop_program("the controller died")

    def _protective_stop(self, request: FaultRequest, until: float) -> None:
        self._controller.state.protective_stop("injected", request.keep_program)

    def _estop(self, request: FaultRequest, until: float) -> None:
        self._until["estop"] = until
        self._controller.state.press_estop()

    def _power_off(self, request: FaultRequest, until: float) -> None:
        self._controller.state.power_off()

    def _local_mode(self, request: FaultRequest, until: float) -> None:
        self._until["local_mode"] = until
        self._controller.state.remote = False

    def _register_in_use(self, request: FaultRequest, until: float) -> None:
        self._until["register_in_use"] = until
        self._controller.rtde.inputs_taken = True

    def _camera_stall(self, request: FaultRequest, until: float) -> None:
        self._until["camera_stall"] = until
        self._stall_camera(until)

    def _garbage(self, request: FaultRequest, until: float) -> None:
        self._controller.rtde.send_garbage()

    def _clear(self, request: FaultRequest, until: float) -> None:
        """Everything back to a powered, unlocked robot in remote control."""
        for kind in list(self._until):
            del self._until[kind]
            _UNDO[kind](self)
        state = self._controller.state
        state.safety, state.mode, state.remote = SafetyMode.NORMAL, RobotMode.RUNNING, True

    def _unstall(self) -> None:
        self._controller.loop.stall(False)

    def _undrop(self) -> None:
        self._controller.rtde.drop_rate = 0.0

    def _unsilence(self) -> None:
        self._controller.rtde.silent = False

    def _revive(self) -> None:
        self._controller.open()

    def _release_estop(self) -> None:
        self._controller.state.release_estop()

    def _remote_mode(self) -> None:
        self._controller.state.remote = True

    def _free_registers(self) -> None:
        self._controller.rtde.inputs_taken = False

    def _resume_camera(self) -> None:
        self._stall_camera(0.0)


_UNDO = {
    "stall": Faults._unstall,
    "drop": Faults._undrop,
    "silence": Faults._unsilence,
    "kill": Faults._revive,
    "estop": Faults._release_estop,
    "local_mode": Faults._remote_mode,
    "register_in_use": Faults._free_registers,
    "camera_stall": Faults._resume_camera,
}
KINDS = (*_UNDO, "protective_stop", "power_off", "garbage", "clear")
