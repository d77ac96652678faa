"""Maps a camera's hardware timestamps to the host's monotonic clock.

A frame arrives ``delay >= 0`` after it was taken, and the delay is noisy: its minimum is the
transport, everything above is queueing. So the best estimate of the clock relation is the line
*under* all points (device time, host arrival - device time) that is closest to them. That line
is the edge of the lower convex hull above the mean device time (Moon, Skelly and Towsley,
"Estimation and removal of clock skew from network delay measurements", INFOCOM 1999).
"""

import collections

Point = tuple[float, float]


def lower_hull(points: list[Point]) -> list[Point]:
    """Lower convex hull of points with increasing x, left to right (Andrew's monotone chain)."""
    hull: list[Point] = []
    for point in points:
        while len(hull) >= 2 and _turn(hull[-2], hull[-1], point) <= 0.0:
            hull.pop()
        hull.append(point)
    return hull


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


class ClockMap:
    """Offset and drift of one device clock against the host, over a sliding window.

    ``offset`` is host minus device (s) at the newest device time, ``drift`` its change per device
    second (bounded by ``max_drift``: crystals are within 100 ppm). The remaining error is the
    smallest transport delay inside the window, which a latency calibration can subtract. A device clock
    that jumps back starts the map over; one that jumps forward is a new minimum, and followed at once.
    """

    def __init__(
        self,
        window_s: float = 30.0,
        bucket_s: float = 0.5,
        min_span_for_drift_s: float = 10.0,
        max_drift: float = 5e-4,
        settle_samples: int = 8,
        settle_s: float = 0.5,
    ):
        self._window_s = window_s
        self._bucket_s = bucket_s
        self._min_span_s = min_span_for_drift_s
        self._max_drift = max_drift
        self._settle_samples = settle_samples
        self._settle_s = settle_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: the device was reopened."""
        self._buckets: collections.deque[Point] = collections.deque()
        self._bucket_end = 0.0
        self._last_device_s: float | None = None
        self._samples = 0
        self._first_device_s = 0.0
        self._origin = (0.0, 0.0)
        self.drift = 0.0

    @property
    def settled(self) -> bool:
        """Enough frames were seen for the minimum delay to mean something."""
        span_s = self._last_device_s - self._first_device_s if self._samples else 0.0
        return self._samples >= self._settle_samples or span_s >= self._settle_s

    @property
    def offset(self) -> float:
        """Host minus device clock (s) at the newest device time."""
        if self._last_device_s is None:
            return 0.0
        return self.to_host(self._last_device_s) - self._last_device_s

    def update(self, device_s: float, host_s: float) -> float:
        """Take one frame's device timestamp and host arrival; returns its host capture time (s)."""
        if self._last_device_s is not None and device_s < self._last_device_s:
            self.reset()
        self._last_device_s = device_s
        if not self._samples:
            self._first_device_s = device_s
        self._samples += 1
        point = (device_s, host_s - device_s)
        if not self._buckets or device_s >= self._bucket_end:
            self._bucket_end = device_s + self._bucket_s
            self._buckets.append(point)
            while self._buckets[0][0] < device_s - self._window_s:
                self._buckets.popleft()
            self._fit()
        elif point[1] < self._buckets[-1][1]:
            self._buckets[-1] = point
            self._fit()
        return self.to_host(device_s)

    def to_host(self, device_s: float) -> float:
        """Host monotonic time (s) of a device time (s)."""
        x0, y0 = self._origin
        return device_s + y0 + self.drift * (device_s - x0)

    def _fit(self) -> None:
        points = list(self._buckets)
        self.drift = 0.0
        if points[-1][0] - points[0][0] >= self._min_span_s:
            hull = lower_hull(points)
            middle = sum(x for x, _ in points) / len(points)
            for (xa, ya), (xb, yb) in zip(hull, hull[1:]):
                if xa <= middle <= xb:
                    slope = (yb - ya) / (xb - xa)
                    self.drift = max(-self._max_drift, min(self._max_drift, slope))
                    break
        self._origin = min(points, key=lambda p: p[1] - self.drift * p[0])
