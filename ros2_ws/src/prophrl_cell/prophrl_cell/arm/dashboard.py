"""The controller's dashboard server (port 29999): a line of text asks, a line answers.

Own client instead of ur_rtde's: every call has a deadline, and no constructor holds the interpreter.
"""

import re
import socket
import time

from prophrl_core.errors import UserError

PORT = 29999


class Dashboard:
    """One connection; use it as a context manager.

    Raises OSError (timeouts included) when the controller does not answer within ``timeout`` seconds.
    """

    def __init__(self, ip: str, timeout: float = 3.0):
        self._socket = socket.create_connection((ip, PORT), timeout=timeout)
        self._lines = self._socket.makefile("r", encoding="utf-8", errors="replace", newline="\n")
        self._lines.readline()

    def __enter__(self) -> "Dashboard":
        return self

    def __exit__(self, *exc) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, command: str) -> str:
        """Send one command and return its one-line answer."""
        self._socket.sendall((command + "\n").encode())
        line = self._lines.readline()
        if not line:
            raise ConnectionError(f"the dashboard server closed the connection on {command!r}")
        return line.strip()

    def robot_mode(self) -> str:
        """Such as RUNNING, IDLE, POWER_OFF."""
        return self.ask("robotmode").split(":")[-1].strip()

    def safety_status(self) -> str:
        """Such as NORMAL, PROTECTIVE_STOP, ROBOT_EMERGENCY_STOP."""
        return self.ask("safetystatus").split(":")[-1].strip()

    def model(self) -> str:
        """Such as UR30."""
        return self.ask("get robot model").strip().upper()

    def remote_control(self) -> bool:
        """Whether programs may be started from outside."""
        return "true" in self.ask("is in remote control").lower()


def check_ready(ip: str, model: str) -> None:
    """Raise UserError with one line unless the controller can be driven right now by this cell.

    ``model`` is the cell's name for the arm, such as ``ur30``.
    """
    try:
        with Dashboard(ip) as dashboard:
            found, mode, safety = dashboard.model(), dashboard.robot_mode(), dashboard.safety_status()
            remote = dashboard.remote_control()
    except OSError as error:
        raise UserError(
            f"robot {ip}: no dashboard server answers on port {PORT} ({error}); check the cell's robot.ip, the "
            "cable and that the controller is on"
        ) from None
    expected = re.match(r"ur\d+", model).group().upper()
    if not re.match(rf"{expected}(\D|$)", found):
        raise UserError(f"robot {ip}: the cell describes a {expected}, the controller is a {found}; fix robot.model")
    if safety not in ("NORMAL", "REDUCED"):
        raise UserError(f"robot {ip}: expected safety status NORMAL, got {safety}; clear it on the teach pendant")
    if mode != "RUNNING":
        raise UserError(f"robot {ip}: expected robot mode RUNNING, got {mode}; power on and release the brakes")
    if not remote:
        raise UserError(f"robot {ip}: the controller is in local mode; switch it to Remote Control on the pendant")


def unlock(ip: str, timeout: float = 30.0) -> str:
    """Bring the controller back to RUNNING after a stop; returns what was done, one line.

    Releases a protective stop, powers on and releases the brakes. An emergency stop has to be released by
    hand first: UserError then, and when the controller does not come back within ``timeout`` seconds.
    """
    try:
        with Dashboard(ip) as dashboard:
            return _unlock(dashboard, ip, time.monotonic() + timeout)
    except OSError as error:
        raise UserError(f"robot {ip}: the dashboard server does not answer ({error}); is the controller on?") from None


def _unlock(dashboard: Dashboard, ip: str, deadline: float) -> str:
    done, answer = [], "none"
    while True:
        safety, mode = dashboard.safety_status(), dashboard.robot_mode()
        if "EMERGENCY" in safety:
            raise UserError(f"robot {ip}: {safety}; release the emergency stop button, then unlock again")
        if safety == "PROTECTIVE_STOP":
            step = "unlock protective stop"
        elif safety not in ("NORMAL", "REDUCED"):
            raise UserError(f"robot {ip}: safety status {safety}; clear it on the teach pendant")
        elif mode == "RUNNING":
            return ", ".join(done) or "nothing to unlock"
        elif mode == "IDLE":
            step = "brake release"
        elif mode in ("POWER_OFF", "BACKDRIVE"):
            step = "power on"
        else:
            step = None
        if step:
            answer = dashboard.ask(step)
            if step not in done:
                done.append(step)
        if time.monotonic() > deadline:
            raise UserError(
                f"robot {ip}: still {safety}, {mode} after {', '.join(done) or 'waiting'} (last answer {answer!r}); "
                "look at the teach pendant"
            )
        time.sleep(0.3)
