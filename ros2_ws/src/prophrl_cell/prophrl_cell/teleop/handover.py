"""Who has the arm: the device whose deadman was pressed first, until it lets go, falls silent or is lost."""

from collections.abc import Mapping

LOST_S = 0.5  # a silence as long as this is a loss: after it the deadman has to be pressed anew


class DeadmanGate:
    """Counts a deadman as held only after a press that was seen on a connected device."""

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._armed = False  # it was seen released

    def step(self, deadman: bool | None, age_s: float) -> bool | None:
        """Whether the deadman is held; None while a short silence leaves that open.

        ``deadman``: None when not connected. ``age_s``: since the last word.
        """
        if deadman is None or age_s > LOST_S:
            self._armed = False
            return False
        if not deadman:
            self._armed = True
            return False
        if not self._armed:
            return False
        return True if age_s <= self._timeout_s else None


class Handover:
    """The one device that has the arm. ``active`` is its name, empty when none."""

    def __init__(self):
        self.active = ""
        self._last = ""  # had the arm last and was not seen to let go since
        self._pressed: set[str] = set()  # was held and not seen to let go since

    def step(self, held: Mapping[str, bool | None]) -> str:
        """The device with the arm, given whose deadman is held (None: not known at the moment).

        One held while another had the arm has to be let go, and so has one that fell silent meanwhile; the last that
        had the arm has it again after a short silence, unless another took it.
        """
        now = {name for name, down in held.items() if down}
        up = {name for name, down in held.items() if down is False}
        if self.active not in now:
            takes = now - self._pressed | now & {self._last} - up
            self.active = next((name for name in held if name in takes), "")
        self._last = self.active or ("" if self._last in up else self._last)
        self._pressed = (self._pressed | now) - up
        return self.active
