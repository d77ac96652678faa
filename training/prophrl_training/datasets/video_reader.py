"""Frames out of MP4 files by time: forward where that is short, by key frame otherwise; files stay open."""

from __future__ import annotations

import bisect
import collections
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from prophrl_core.errors import UserError

_KEY_FRAME_TRIES = 3


class VideoFile:
    """One open video whose frames are ``height`` x ``width``; ``where`` names it in errors. Not for several threads."""

    def __init__(self, path: Path, height: int, width: int, where: str) -> None:
        self._size, self._where, self._container = (height, width), where, None
        try:
            self._container = av.open(str(path), format="mp4")
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            self.close()
            raise UserError(f"{where}: expected an MP4 video, cannot read it: {error}") from None
        context = self._stream.codec_context
        context.thread_type = "NONE"
        if (context.height, context.width) != self._size:
            self.close()
            raise UserError(f"{where}: expected {width}x{height} frames, got {context.width}x{context.height}")
        base = self._stream.time_base
        self._keys = [float(e.timestamp * base) for e in self._stream.index_entries if e.is_keyframe] or [0.0]
        self._frames, self._at = iter(()), math.inf

    def frames_at(self, times: Iterable[float], tolerance: float) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB shown at each of ``times`` (s, ascending is fast); UserError when none is near enough."""
        last: tuple[float, np.ndarray] | None = None
        for t in times:
            if last is None or abs(last[0] - t) > tolerance:
                frame = self._decode(t, tolerance)
                last = frame.time, self._pixels(frame)
            yield last[1]

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _decode(self, t: float, tolerance: float) -> av.VideoFrame:
        """The frame at ``t``: forward from where the decoder is when no key frame lies between, else from that one.

        Key frames are known by decoding time, which may be earlier than when they are shown: hence the tries.
        """
        key = max(0, bisect.bisect_right(self._keys, t + tolerance) - 1)
        if not (self._at < t - tolerance and self._keys[key] <= self._at + tolerance):
            self._seek(key)
        frame = self._advance(t - tolerance)
        for earlier in range(key - 1, max(-1, key - _KEY_FRAME_TRIES), -1):
            if frame.time <= t + tolerance:
                break
            self._seek(earlier)
            frame = self._advance(t - tolerance)
        if frame.time > t + tolerance:
            raise UserError(f"{self._where}: expected a frame at {t:.3f} s, the nearest is at {frame.time:.3f} s")
        return frame

    def _seek(self, key: int) -> None:
        self._container.seek(round(self._keys[key] / self._stream.time_base), stream=self._stream)
        self._frames, self._at = self._container.decode(self._stream), -math.inf

    def _advance(self, t: float) -> av.VideoFrame:
        """The first frame shown at ``t`` or later, counted from where the decoder is."""
        try:
            for frame in self._frames:
                if frame.time is None:
                    raise UserError(f"{self._where}: expected frames with times, got one without; refused")
                self._at = frame.time
                if frame.time >= t:
                    return frame
        except av.FFmpegError as error:
            self._at = math.inf
            raise UserError(f"{self._where}: cannot be decoded at {t:.3f} s: {error}") from None
        self._at = math.inf
        raise UserError(f"{self._where}: expected a frame at {t:.3f} s, the video ends before; it is not whole")

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        if (frame.height, frame.width) != self._size:
            raise UserError(f"{self._where}: expected frames of one size, got {frame.width}x{frame.height}; refused")
        return frame.to_ndarray(format="rgb24")


class OpenVideos:
    """At most ``limit`` open videos, the least recently used closed first."""

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._open: collections.OrderedDict[str, VideoFile] = collections.OrderedDict()

    def get(self, path: Path, height: int, width: int, where: str) -> VideoFile:
        """The open video of ``path``."""
        key = str(path)
        if key not in self._open:
            self._open[key] = VideoFile(path, height, width, where)
            if len(self._open) > self._limit:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()
