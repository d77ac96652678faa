"""How late a message comes whose sender's clock is not ours."""

import math

DRIFT = 1e-4  # s per s by which the sender's clock may run away


class Delay:
    """Of one stream: how much later than its quickest message each one came; the offset of the clocks cancels.

    It is not begun anew after a silence: what waited behind one must not count as fresh.
    """

    def __init__(self):
        self._offset_s = math.inf  # smallest arrival minus stamp
        self._heard_s = -math.inf

    def of(self, stamp_s: float, now_s: float) -> float:
        """s, of a message stamped ``stamp_s`` by its sender's clock that arrives at ``now_s`` of ours."""
        silence_s, self._heard_s = now_s - self._heard_s, now_s
        self._offset_s = min(self._offset_s + DRIFT * min(max(silence_s, 0.0), 1.0), now_s - stamp_s)
        return now_s - stamp_s - self._offset_s
