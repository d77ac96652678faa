"""Camera pictures for the page: encoded when somebody asks, never more often than a viewer can use."""

import threading
import time
from collections.abc import Callable

import cv2

from prophrl_cell.image_cdr import read_image

PERIOD_S = 0.1
JPEG_QUALITY = 75


class CameraFeed:
    """The newest picture of one camera as JPEG.

    ``take()`` returns the newest sensor_msgs/Image as CDR bytes, or None when none came since the last call. It is
    called when a picture is asked for, at most every ``PERIOD_S``: with nobody looking nothing is copied or encoded.
    Safe to call from several threads.
    """

    def __init__(self, take: Callable[[], bytes | None]):
        self._take = take
        self._lock = threading.Lock()
        self._jpeg: bytes | None = None
        self._looked_s = self._taken_s = -1e9

    def picture(self) -> tuple[bytes, float] | None:
        """(JPEG, age in s since it was taken off the wire); None while there has been none."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_s >= 0.9 * PERIOD_S:
                self._looked_s = now
                message = self._take()
                if message is not None:
                    self._jpeg, self._taken_s = _encode(message), now
            return None if self._jpeg is None else (self._jpeg, now - self._taken_s)


def _encode(message: bytes) -> bytes:
    image = read_image(message)
    pixels = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR) if image.encoding == "rgb8" else image.pixels
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
