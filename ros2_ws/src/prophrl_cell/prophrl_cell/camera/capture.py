"""The capture loop of one camera: read, stamp, count, and bring a stalled stream back."""

import dataclasses
import threading
import time
from collections.abc import Callable

from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError

from prophrl_cell.camera.clock_map import ClockMap
from prophrl_cell.camera.realsense import CapturedFrames, FrameSource
from prophrl_cell.camera.stream_health import Backoff, StallConfig, StreamHealth

READ_TIMEOUT_S = 0.1

FrameSink = Callable[[CapturedFrames, float, CameraModel], None]


@dataclasses.dataclass(frozen=True)
class CaptureState:
    """A snapshot for status messages."""

    streaming: bool
    reason: str
    rate_hz: float
    frames: int
    dropped: int
    restarts: int
    clock_offset_s: float
    latency_s: float


class CaptureLoop:
    """Owns a source and the one thread that reads it.

    ``sink(frames, capture_s, model)`` is called in that thread; ``capture_s`` is the host monotonic
    time at which the colour image was taken. The first frames of a device clock only settle the clock map.
    """

    def __init__(self, source: FrameSource, rate_hz: float, sink: FrameSink, stall: StallConfig = StallConfig()):
        self._source = source
        self._sink = sink
        self._clock = ClockMap()
        self._health = StreamHealth(rate_hz, stall)
        self._backoff = Backoff(stall)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._model: CameraModel | None = None
        self._reason = "not started"
        self._restarts = 0

    def open(self) -> CameraModel:
        """Open the source; UserError when the camera is not there."""
        self._model = self._source.open()
        self._opened()
        return self._model

    def start(self) -> None:
        """Begin reading."""
        self._stop.clear()
        self._health.opened(time.monotonic())
        self._thread = threading.Thread(target=self._run, name=f"capture-{self._source.label}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; the source stays open."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def close(self) -> None:
        """Stop reading and close the source."""
        self.stop()
        self._source.close()

    def state(self) -> CaptureState:
        """What the stream is doing now."""
        health = self._health
        return CaptureState(
            not self._reason, self._reason, health.rate_hz if not self._reason else 0.0, health.frames,
            health.dropped, self._restarts, self._clock.offset, health.latency_s,
        )

    def _opened(self) -> None:
        self._health.opened(time.monotonic())
        self._reason = "waiting for the first frame"

    def _run(self) -> None:
        while not self._stop.is_set():
            frames = self._source.read(READ_TIMEOUT_S)
            if frames is None:
                now = time.monotonic()
                if self._health.stalled(now):
                    self._restart(f"no frame for {self._health.silence_s(now):.1f} s; restarting the pipeline")
                continue
            capture_s = self._clock.update(frames.device_s, frames.arrival_s)
            self._health.saw(frames.number, frames.arrival_s, time.monotonic() - capture_s)
            if self._clock.settled:
                self._reason = ""
                self._backoff.succeeded()
                self._sink(frames, capture_s, self._model)

    def _restart(self, reason: str) -> None:
        """Close and reopen until it works or the loop is stopped."""
        self._reason = reason
        self._source.close()
        while not self._stop.wait(self._backoff.next_wait_s()):
            self._restarts += 1
            try:
                self._model = self._source.open()
            except UserError as error:
                self._reason = str(error)
                continue
            self._opened()
            return
