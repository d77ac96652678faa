"""The dashboard server, port 29999: one text line in, one text line out.

Replies are worded as on PolyScope 5, because clients compare them. Source: Universal Robots,
"Dashboard Server e-Series".
"""

import select

from prophrl_sim.controller.robot_state import RobotMode, RobotState, RuntimeState
from prophrl_sim.controller.rtde_server import CONTROLLER_VERSION
from prophrl_sim.controller.tcp_service import Connection, LineService

GREETING = "Connected: Universal Robots Dashboard Server"
SERIAL_NUMBER = "20233000001"
_NEEDS_REMOTE = ("power ", "brake release", "play", "stop", "pause", "load", "unlock", "close", "restart", "shutdown")
_PROGRAM_STATES = {RuntimeState.PLAYING: "PLAYING", RuntimeState.PAUSED: "PAUSED", RuntimeState.PAUSING: "PAUSED"}


class Dashboard(LineService):
    """Speaks for ``state``; ``robot_name`` as in "UR30"."""

    def __init__(self, poller: select.epoll, host: str, state: RobotState, robot_name: str):
        super().__init__(poller, host, 29999)
        self.state, self.robot_name = state, robot_name
        self.loaded = ""
        self.log: list[str] = []

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        connection.send((GREETING + "\n").encode())

    def line(self, connection: Connection, line: str) -> None:
        connection.send((self.answer(line) + "\n").encode())
        if line.lower() in ("quit", "exit"):
            connection.close()

    def answer(self, line: str) -> str:
        """The reply to one request."""
        request = " ".join(line.split())
        command = request.lower()
        if not self.state.remote and command.startswith(_NEEDS_REMOTE):
            return f"Command is not allowed due to safety reasons: {request.split()[0] if request else ''}"
        name, _, argument = command.partition(" ")
        if command in _REPLIES:
            return _REPLIES[command](self)
        if name == "load" and argument:
            self.loaded = request[5:]
            return f"Loading program: {self.loaded}"
        if name in ("popup", "addtolog"):
            self.log = [*self.log[-99:], request]
            return "showing popup" if name == "popup" else "Added log message"
        if name in ("setuserrole", "set"):
            return f"Setting user role: {argument.split()[-1] if argument else 'none'}"
        return f"could not understand: '{request[:80]}'"

    def _version(self) -> str:
        return "URSoftware {}.{}.{}.{} (Jul 01 2025)".format(*CONTROLLER_VERSION)

    def _power_on(self) -> str:
        self.state.power_on()
        return "Powering on"

    def _power_off(self) -> str:
        self.state.power_off()
        return "Powering off"

    def _brake_release(self) -> str:
        self.state.release_brakes()
        return "Brake releasing"

    def _unlock(self) -> str:
        if self.state.unlock_protective_stop():
            return "Protective stop releasing"
        delay = self.state.timing.unlock_delay
        return (
            f"Cannot unlock protective stop until {delay:.0f}s after occurrence. "
            "Always inspect cause of protective stop before unlocking"
        )

    def _play(self) -> str:
        if self.state.runtime is RuntimeState.PAUSED and self.state.play():
            return "Starting program"
        return "Failed to execute: play"

    def _pause(self) -> str:
        if not self.state.program_runs:
            return "Failed to execute: pause"
        self.state.pause()
        return "Pausing program"

    def _stop(self) -> str:
        self.state.stop_program("stopped from the dashboard")
        return "Stopped"

    def _restart_safety(self) -> str:
        self.state.power_off()
        self.state.release_estop()
        return "Restarting safety"

    def _program_state(self) -> str:
        return f"{_PROGRAM_STATES.get(self.state.runtime, 'STOPPED')} {self.loaded or '<unnamed>'}"

    def _robot_mode(self) -> str:
        names = {RobotMode.POWER_ON: "BOOTING"}
        return f"Robotmode: {names.get(self.state.mode, self.state.mode.name)}"


def _text(reply: str):
    return lambda dashboard: reply


_REPLIES = {
    "polyscopeversion": Dashboard._version,
    "version": lambda d: ".".join(map(str, CONTROLLER_VERSION[:3])),
    "get serial number": _text(SERIAL_NUMBER),
    "get robot model": lambda d: d.robot_name,
    "is in remote control": lambda d: str(d.state.remote).lower(),
    "get operational mode": lambda d: "AUTOMATIC" if d.state.remote else "MANUAL",
    "power on": Dashboard._power_on,
    "power off": Dashboard._power_off,
    "brake release": Dashboard._brake_release,
    "unlock protective stop": Dashboard._unlock,
    "close popup": _text("closing popup"),
    "close safety popup": _text("closing safety popup"),
    "restart safety": Dashboard._restart_safety,
    "play": Dashboard._play,
    "pause": Dashboard._pause,
    "stop": Dashboard._stop,
    "running": lambda d: f"Program running: {str(d.state.runtime is RuntimeState.PLAYING).lower()}",
    "programstate": Dashboard._program_state,
    "robotmode": Dashboard._robot_mode,
    "safetymode": lambda d: f"Safetymode: {d.state.safety.name}",
    "safetystatus": lambda d: f"Safetystatus: {d.state.safety.name}",
    "get loaded program": lambda d: f"Loaded program: {d.loaded}" if d.loaded else "No program loaded",
    "isprogramsaved": lambda d: f"true {d.loaded}",
    "clear operational mode": _text("operational mode is no longer controlled by Dashboard Server"),
    "shutdown": _text("Shutting down"),
    "quit": _text("Disconnected"),
    "exit": _text("Disconnected"),
}
