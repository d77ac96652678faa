"""A pneumatic or on/off gripper on the robot's tool digital outputs: one output opens, another closes.

It cannot be read back, so the state is what was commanded, and it counts as moving for a while afterwards.
"""

import time

import rtde_io

from prophrl_cell.gripper.driver import GripperReading

_TRAVEL = 0.5  # s from one end to the other


class ToolOutputGripper:
    """Drives two outputs over RTDE; ``openness`` above one half is open."""

    def __init__(self, ip: str, open_output: int, close_output: int):
        self._pins = {True: open_output, False: close_output}
        self._open: bool | None = None
        self._since = 0.0
        try:
            self._io = rtde_io.RTDEIOInterface(ip)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"gripper outputs of {ip}: {' '.join(str(error).split())}") from None

    def activate(self) -> None:
        """Outputs need no activation."""

    def command(self, openness: float, speed: float, force: float) -> None:
        open_ = openness >= 0.5
        if open_ == self._open:
            return
        if not (
            self._io.setToolDigitalOut(self._pins[not open_], False)
            and self._io.setToolDigitalOut(self._pins[open_], True)
        ):
            raise OSError("gripper: the controller did not take the tool outputs")
        self._open, self._since = open_, time.monotonic()

    def read(self) -> GripperReading:
        if not self._io.isConnected():
            raise ConnectionError("gripper: the RTDE link of the tool outputs is gone")
        moving = time.monotonic() - self._since < _TRAVEL
        return GripperReading(True, 0.0 if self._open is False else 1.0, moving, False, 0)

    def close(self) -> None:
        self._io.disconnect()
