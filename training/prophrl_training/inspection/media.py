"""Pictures of an episode small enough to live inside a page: a contact sheet (JPEG) and a clip (MP4), as bytes."""

import io
from fractions import Fraction

import av
import cv2
import numpy as np

from prophrl_training.inspection.film import Film

SHEET_PICTURES = 8
_CLOCK = 90_000


def contact_sheet(film: Film) -> bytes:
    """Pictures evenly spread over the episode, side by side."""
    chosen = np.unique(np.linspace(0, len(film.shown) - 1, SHEET_PICTURES).round().astype(int))
    sheet = np.concatenate([film.shown[i] for i in chosen], axis=1)
    done, packed = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])
    if not done:
        raise RuntimeError(f"no JPEG of {sheet.shape}")
    return packed.tobytes()


def clip(film: Film) -> bytes:
    """The small pictures as H.264, each at its own time."""
    height, width = film.shown[0].shape[:2]
    buffer, last = io.BytesIO(), -1
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "30", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.thread_count = 1
        for t, picture in zip(film.shown_t, film.shown, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            last = max(last + 1, round((t - film.shown_t[0]) * _CLOCK))
            frame.pts, frame.time_base = last, Fraction(1, _CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()
