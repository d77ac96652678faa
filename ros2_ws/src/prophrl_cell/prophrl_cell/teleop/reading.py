"""What a device said last, and the place where its reader leaves it for whoever looks; nobody waits for anybody."""

import collections
import dataclasses
import math
from collections.abc import Mapping

NOT_YET = "not looked for yet"
_PRESSES_KEPT = 32
RADIO_SILENCE_S = 0.3
BY_RADIO = (
    "{}: expected it on a cable, it seems to be connected by radio, whose loss looks like a deadman that is held; use "
    "the cable, or put wireless: true into its description (see docs/teleoperate.md)"
)


def radio_stamp(now: float, heard: float, deadman: bool) -> float:
    """When a radio device whose last word came at ``heard`` was last known to be in its state (s).

    Out of reach it looks like one that is held still: while its deadman is held it has to speak.
    """
    return heard if deadman and now - heard > RADIO_SILENCE_S else now


@dataclasses.dataclass(frozen=True)
class Reading:
    """A device's state. A stream may bring its own ``frame``, ``openness`` and ``freedrive``."""

    stamp: float  # monotonic s at which the device was last known to be in this state
    axes: Mapping[str, float] = dataclasses.field(default_factory=dict)  # deflections, -1..1
    held: frozenset[str] = frozenset()  # buttons that are down
    frame: str = ""
    openness: float = math.nan
    freedrive: bool = False


class Latest:
    """The newest reading of one device, or why there is none. Written by one thread, read by another."""

    def __init__(self):
        self._reading: Reading | None = None
        self._reason = NOT_YET
        self._presses: collections.deque[str] = collections.deque(maxlen=_PRESSES_KEPT)

    @property
    def reading(self) -> Reading | None:
        """None while the device is not connected."""
        return self._reading

    @property
    def reason(self) -> str:
        """One line, empty while the device is connected."""
        return "" if self._reading is not None else self._reason

    def put(self, reading: Reading) -> None:
        """The device's state now. A button that was not down before counts as pressed, unless the device just came."""
        before = self._reading
        if before is not None:
            self._presses.extend(sorted(reading.held - before.held))
        self._reading = reading

    def lose(self, reason: str) -> None:
        """The device is gone or cannot be had."""
        self._reason = reason
        self._reading = None
        self._presses.clear()

    def take_presses(self) -> list[str]:
        """Buttons pressed since the last call, oldest first; short presses included."""
        taken = []
        while self._presses:
            taken.append(self._presses.popleft())
        return taken
