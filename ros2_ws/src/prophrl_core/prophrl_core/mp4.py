"""MP4 files from camera frames."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_CLOCK = 90_000


def write_mp4(path: Path, frames: Iterable[tuple[float, np.ndarray]], every: int = 1) -> int:
    """Encode timed frames (seconds, (H, W, 3) uint8 RGB) as H.264, keeping each frame's own time.

    Every ``every``-th frame is kept. Returns the number of frames written; with none no file is left.
    """
    container, stream, start, last, written = None, None, 0.0, -1, 0
    try:
        for i, (t, pixels) in enumerate(frames):
            if i % every:
                continue
            if container is None:
                container = av.open(str(path), "w")
                stream = container.add_stream("libx264", rate=30, options={"crf": "26", "preset": "veryfast"})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, _CLOCK)
                stream.thread_count = 1
                start = t
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = max(last + 1, round((t - start) * _CLOCK))
            frame.time_base = Fraction(1, _CLOCK)
            last = frame.pts
            container.mux(stream.encode(frame))
            written += 1
        if container is not None:
            container.mux(stream.encode())
    finally:
        if container is not None:
            container.close()
    return written
