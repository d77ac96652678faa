"""The Robotiq gripper's URCap socket: ``GET VAR`` and ``SET VAR value ...`` lines.

Registers as in Robotiq's 2F manual: POS and PRE run from 0 open to 255 closed; OBJ 0 moving, 1 stopped while
opening, 2 stopped while closing, 3 at the requested position; STA 0 reset, 1 activating, 3 active.
"""

import select

from prophrl_sim.controller.arm import PERIOD, Arm
from prophrl_sim.controller.tcp_service import Connection, LineService
from prophrl_sim.plant import gripper_force, gripper_speed

ACTIVATION_SECONDS = 1.0
_TOLERANCE = 3
_LIMITS = {"ACT": 1, "GTO": 1, "ATR": 1, "ADR": 1, "POS": 255, "SPE": 255, "FOR": 255}
_READ_ONLY = ("PRE", "STA", "OBJ", "FLT", "SID")


class RobotiqSocket(LineService):
    """The gripper on ``arm``'s plant."""

    def __init__(self, poller: select.epoll, host: str, port: int, arm: Arm):
        super().__init__(poller, host, port)
        self.arm = arm
        self.registers = dict.fromkeys(_LIMITS, 0) | {"SPE": 255}
        self._activation_left = 0.0
        self._activated = False
        self._fault = 0

    def line(self, connection: Connection, line: str) -> None:
        connection.send((self.answer(line) + "\n").encode())

    def answer(self, line: str) -> str:
        """The reply to one request; "?" to what the gripper does not understand."""
        words = line.split()
        if len(words) == 2 and words[0] == "GET":
            value = self._value(words[1])
            return "?" if value is None else f"{words[1]} {value}"
        if len(words) >= 3 and len(words) % 2 == 1 and words[0] == "SET":
            pairs = list(zip(words[1::2], words[2::2], strict=True))
            if all(name in _LIMITS and _is_byte(value, _LIMITS[name]) for name, value in pairs):
                self._set({name: int(float(value)) for name, value in pairs})
                return "ack"
        return "?"

    def _value(self, name: str) -> int | None:
        if name in _READ_ONLY:
            wanted = self.registers["POS"]
            return {"PRE": wanted, "STA": self._status(), "OBJ": self._object(), "FLT": self._fault, "SID": 9}[name]
        return self._position() if name == "POS" else self.registers.get(name)

    def _set(self, values: dict[str, int]) -> None:
        before = self.registers["ACT"]
        self.registers |= values
        if values.get("ACT") == 0:
            self._activated, self._activation_left, self._fault = False, 0.0, 0
        elif values.get("ACT") == 1 and before == 0:
            self._activation_left = ACTIVATION_SECONDS
        if "SPE" in values or "FOR" in values:
            self._apply_limits()
        if values.get("GTO") == 1 and not self._activated:
            self._fault = 7 if self.registers["ACT"] == 0 else 5
        if self._activated and self.registers["GTO"] and ("POS" in values or "GTO" in values):
            self._fault = 0
            self.arm.gripper_target = 1.0 - self.registers["POS"] / 255.0

    def _apply_limits(self) -> None:
        self.arm.plant.gripper_speed = gripper_speed(self.registers["SPE"] / 255.0)
        self.arm.plant.gripper_force = gripper_force(self.registers["FOR"] / 255.0)

    def tick(self) -> None:
        """Activation takes time; once per controller cycle."""
        if self._activation_left > 0.0:
            self._activation_left -= PERIOD
            if self._activation_left <= 0.0:
                self._activated, self._fault = True, 0

    def _status(self) -> int:
        return 3 if self._activated else 1 if self._activation_left > 0.0 else 0

    def _position(self) -> int:
        return round((1.0 - min(1.0, max(0.0, self.arm.plant.gripper_opening))) * 255)

    def _object(self) -> int:
        if not self._activated or not self.registers["GTO"]:
            return 0
        wanted = self.registers["POS"]
        if self.arm.plant.object_detected:
            return 2 if wanted >= self._position() else 1
        return 3 if abs(self._position() - wanted) <= _TOLERANCE else 0


def _is_byte(text: str, limit: int) -> bool:
    try:
        return 0 <= int(float(text)) <= limit
    except (ValueError, OverflowError):
        return False
