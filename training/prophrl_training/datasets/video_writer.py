"""MP4 files for datasets: the same pictures give the same bytes, and files are joined without encoding again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from prophrl_core.errors import UserError

MAX_SECONDS = 1000.0  # of one file: float32 times stay exact enough for readers that ask by time
_OPTIONS = {"movflags": "faststart", "fflags": "+bitexact", "write_btrt": "0"}  # bit rates say how a file was made


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """How pictures are encoded. Key frames are ``key_every`` apart, so that a single one is found quickly."""

    codec: str = "libx264"
    crf: int = 18
    preset: str = "veryfast"
    key_every: int = 2


@dataclasses.dataclass(frozen=True)
class Segment:
    """Frames of an episode in a file: from ``begin`` s on, ``frames`` of them."""

    path: Path
    begin: float
    frames: int


def encode(path: Path, pictures: Iterable[np.ndarray], fps: int, settings: VideoSettings) -> int:
    """Write pictures (H, W, 3) uint8 RGB, one thread, no B-frames; returns how many."""
    count = 0
    with av.open(str(path), "w", format="mp4", options=_OPTIONS) as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = _stream(container, picture.shape, fps, settings)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = count, Fraction(1, fps)
            container.mux(stream.encode(frame))
            count += 1
        if stream is not None:
            container.mux(stream.encode())
    return count


def _stream(container, shape: tuple[int, ...], fps: int, settings: VideoSettings):
    height, width = shape[:2]
    if height % 2 or width % 2:
        raise UserError(f"video: expected pictures of even height and width, got {width}x{height}; crop the camera")
    options = {"crf": str(settings.crf), "preset": settings.preset, "g": str(settings.key_every), "bf": "0"}
    stream = container.add_stream(settings.codec, rate=fps, options=options | {"threads": "1"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, fps)
    stream.thread_count = 1
    return stream


def join(path: Path, segments: list[Segment], fps: float) -> None:
    """Copy the packets of the segments one after another into ``path``; frame i of the whole shows at i / fps."""
    with av.open(str(path), "w", format="mp4", options=_OPTIONS) as output:
        stream, offset = None, 0
        for segment in segments:
            with av.open(str(segment.path), format="mp4") as source:
                given = source.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(given, opaque=True)
                    stream.time_base = given.time_base
                base, count = given.time_base, 0
                for packet in _packets(source, given, segment, fps):
                    first = round(segment.begin / base)
                    shift = round(Fraction(offset) / Fraction(fps).limit_denominator(100_000) / base) - first
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    output.mux(packet)
                    count += 1
            if count != segment.frames:
                expected = f"expected {segment.frames} frames from {segment.begin} s on"
                raise UserError(f"{segment.path}: {expected}, got {count}")
            offset += count


def _packets(source, stream, segment: Segment, fps: float):
    half = 0.5 / fps
    end = segment.begin + segment.frames / fps
    if segment.begin:
        source.seek(round(segment.begin / stream.time_base), stream=stream)
    for packet in source.demux(stream):
        if packet.pts is None:
            continue
        shown = float(packet.pts * stream.time_base)
        if shown >= end + 2.0:
            return
        if segment.begin - half <= shown < end - half:
            yield packet


def joinable(a: Path, b: Path) -> bool:
    """Whether packets of both may follow each other in one file: same codec, settings and clock."""
    return a == b or _facts(a).encoding == _facts(b).encoding


def frames_in(path: Path) -> int:
    """Frames of a file."""
    return len(_facts(path).sizes_N)


def payload_bytes(segment: Segment, fps: float) -> int:
    """Bytes of the segment's packets, which is what a file grows by."""
    facts, half = _facts(segment.path), 0.5 / fps
    first, last = np.searchsorted(facts.times_N, [segment.begin - half, segment.begin + segment.frames / fps - half])
    return int(facts.sizes_N[first:last].sum())


@dataclasses.dataclass(frozen=True)
class _FileFacts:
    encoding: tuple
    times_N: np.ndarray
    sizes_N: np.ndarray


@functools.lru_cache(maxsize=1024)
def _facts(path: Path) -> _FileFacts:
    """What the file's header says, without its pictures being read. Files of datasets are replaced, never changed."""
    with av.open(str(path), format="mp4") as source:
        stream = source.streams.video[0]
        context, base = stream.codec_context, stream.time_base
        encoding = context.name, context.extradata, base, context.width, context.height
        entries = sorted((float(entry.timestamp * base), entry.size) for entry in stream.index_entries)
    return _FileFacts(encoding, np.array([t for t, _ in entries]), np.array([size for _, size in entries]))


def describe(path: Path) -> dict[str, object]:
    """A video's facts as LeRobot keeps them with a feature."""
    with av.open(str(path), format="mp4") as container:
        stream = container.streams.video[0]
        return {
            "video.height": stream.height,
            "video.width": stream.width,
            "video.codec": stream.codec.canonical_name,
            "video.pix_fmt": stream.pix_fmt,
            "video.is_depth_map": False,
            "video.fps": round(float(stream.base_rate)),
            "video.channels": 3,
            "has_audio": False,
        }
