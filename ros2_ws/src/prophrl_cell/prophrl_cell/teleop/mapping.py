"""From a device's reading to what it asks of the arm: dead zone, expo, scale, signs, buttons."""

import dataclasses
import math
from collections.abc import Iterable

from prophrl_cell.teleop.device_config import COMPONENTS, ButtonMap, DeviceConfig
from prophrl_cell.teleop.reading import Reading

PRESSED = tuple(f.name for f in dataclasses.fields(ButtonMap) if f.name not in ("deadman", "freedrive"))


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a device asks for now. ``twist``: x, y, z (m/s), roll, pitch, yaw (rad/s) in ``frame``."""

    deadman: bool
    frame: str
    twist: tuple[float, ...]
    openness: float  # NaN: leave the gripper alone
    freedrive: bool


def faded(wish: Wish, age_s: float, timeout_s: float) -> Wish:
    """Slower from half the timeout on and at rest at its end, so that a lost device has the arm stopped by then."""
    left = min(1.0, max(0.0, 2.0 * (1.0 - age_s / timeout_s)))
    return wish if left == 1.0 else dataclasses.replace(wish, twist=tuple(left * v for v in wish.twist))


def shape(deflection: float, dead_zone: float, expo: float) -> float:
    """A deflection, clipped to -1..1, with a dead zone and with less slope around it; not finite counts as rest."""
    size = min(abs(deflection), 1.0) if math.isfinite(deflection) else 0.0
    if size <= dead_zone:
        return 0.0
    size = (size - dead_zone) / (1.0 - dead_zone)
    return math.copysign((1.0 - expo) * size + expo * size**3, deflection)


def _scaled(vector: list[float], speed: float) -> list[float]:
    """The vector times ``speed``, not longer than ``speed``."""
    return [value * speed / max(1.0, math.hypot(*vector)) for value in vector]


class Mapper:
    """One device's meaning, with the speed step that its operator chose."""

    def __init__(self, config: DeviceConfig):
        self.config = config
        self._step = len(config.speed_steps) - 1

    @property
    def linear_speed(self) -> float:
        """m/s at full deflection."""
        return self.config.linear_speed * self.config.speed_steps[self._step]

    @property
    def angular_speed(self) -> float:
        """rad/s at full deflection."""
        return self.config.angular_speed * self.config.speed_steps[self._step]

    def wish(self, reading: Reading) -> Wish:
        """What the device asks for in this state."""
        config = self.config
        twist = [self._component(getattr(config.axes, name), reading) for name in COMPONENTS]
        return Wish(
            deadman=any(name in reading.held for name in config.buttons.deadman),
            frame=reading.frame or config.frame,
            twist=(*_scaled(twist[:3], self.linear_speed), *_scaled(twist[3:], self.angular_speed)),
            openness=reading.openness,
            freedrive=config.freedrive or reading.freedrive or any(n in reading.held for n in config.buttons.freedrive),
        )

    def _component(self, terms: tuple[str, ...], reading: Reading) -> float:
        total = 0.0
        for term in terms:
            name = term.removeprefix("-")
            value = shape(reading.axes.get(name, float(name in reading.held)), self.config.dead_zone, self.config.expo)
            total += -value if term.startswith("-") else value
        return max(-1.0, min(1.0, total))

    def actions(self, presses: Iterable[str]) -> list[str]:
        """What the pressed buttons mean (names of PRESSED); faster and slower are carried out here."""
        actions = [name for press in presses for name in PRESSED if press in getattr(self.config.buttons, name)]
        for action in actions:
            change = {"faster": 1, "slower": -1}.get(action, 0)
            self._step = max(0, min(len(self.config.speed_steps) - 1, self._step + change))
        return actions
