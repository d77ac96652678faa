"""A short memory of commanded TCP targets, looked up by time.

The arm anchors a chunk at what it commanded when the observation was taken; the policy reads its
proprioception at the image's capture time from the same quantity.
"""

from collections import deque

import numpy as np

from prophrl_core import se3


class TargetHistory:
    """Time-stamped targets (T (4, 4), openness), appended in order, kept for ``seconds``."""

    def __init__(self, seconds: float = 5.0):
        self._seconds = seconds
        self._entries: deque[tuple[float, np.ndarray, float]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def append(self, t: float, T: np.ndarray, openness: float) -> None:
        """Add the target in force at time ``t`` (s); an entry older than the last one is ignored."""
        if self._entries and t <= self._entries[-1][0]:
            return
        self._entries.append((t, np.array(T, dtype=float), float(openness)))
        while self._entries[0][0] < t - self._seconds:
            self._entries.popleft()

    def at(self, t: float) -> tuple[np.ndarray, float] | None:
        """Target (T, openness) at ``t``: poses interpolated, openness held; None before the memory begins.

        After the newest entry the newest is returned.
        """
        later = None
        for entry in reversed(self._entries):
            if entry[0] <= t:
                if later is None:
                    return entry[1], entry[2]
                s = (t - entry[0]) / (later[0] - entry[0])
                return se3.interpolate(entry[1], later[1], s), entry[2]
            later = entry
        return None

    def moved_since(self, t: float, metres: float = 1e-5, radians: float = 1e-4) -> bool:
        """Whether the target has moved since ``t`` by more than the given distance or angle."""
        past = self.at(t)
        if past is None or not self._entries:
            return True
        now = self._entries[-1][1]
        if np.linalg.norm(now[:3, 3] - past[0][:3, 3]) > metres:
            return True
        return bool(se3.rotation_angle(past[0][:3, :3].T @ now[:3, :3]) > radians)
