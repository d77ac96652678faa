"""Takes messages at any rate and writes episodes in a thread of its own.

The callers (ROS callbacks) never wait for the disk: they append to a queue bounded in bytes. What
does not fit is refused and counted per topic; images are refused first, so that a slow disk costs
frames before it costs actions.
"""

import collections
import contextlib
import dataclasses
import pathlib
import shutil
import threading
import time

from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import EpisodeMeta, StreamSummary
from prophrl_core.errors import UserError

from prophrl_cell.recorder.episode_writer import EpisodeWriter
from prophrl_cell.recorder.recent_messages import RecentMessages
from prophrl_cell.recorder.topics import IMAGE, RecordedTopic

IMAGE_SHARE = 0.75  # of the queue; the rest is kept for everything else
WAKE_S = 0.25
DISK_CHECK_S, DISK_CHECK_BYTES = 0.5, 4 << 20  # whichever comes first
RETRY_S = 1.0  # between tries to finish an episode


@dataclasses.dataclass(frozen=True)
class RecorderState:
    """A snapshot; ``fault`` and ``complaint`` (about single messages) are one line, empty when all is well."""

    episode_id: str = ""
    folder: str = ""
    fault: str = ""
    complaint: str = ""
    bytes_written: int = 0
    streams: tuple[StreamSummary, ...] = ()


class EpisodeRecorder:
    """``begin``, ``put`` and ``end`` come from one thread; the disk is touched by another."""

    def __init__(
        self,
        root: pathlib.Path,
        topics: tuple[RecordedTopic, ...],
        spec: RecorderSpec,
        queue_bytes: int = 256 << 20,  # some seconds of two cameras, for a disk that stands still
    ):
        self._root, self._topics, self._spec = root, topics, spec
        self._is_image = {t.topic: t.type_name == IMAGE for t in topics}
        self._recent = RecentMessages({t.topic for t in topics if t.latched}, queue_bytes)
        self._limits = {True: int(queue_bytes * IMAGE_SHARE), False: queue_bytes}
        self._queue: collections.deque[tuple] = collections.deque()
        self._queued_bytes = 0
        self._wake = threading.Condition()
        self._recording = False
        self._refused: dict[str, int] = {}
        self._writer: EpisodeWriter | None = None
        self._ending: tuple[EpisodeMeta, str] | None = None  # of an episode not yet finished, and its fault
        self._retry_s = 0.0
        self._stopped_early = ""
        self._next_disk_check, self._checked_bytes = 0.0, 0
        self.state = RecorderState()
        try:
            _try_to_write(root)
        except OSError as error:
            raise UserError(
                f"recorder: expected a writable folder at {root}, got: {error}; choose another episodes_dir"
            ) from None
        self._thread = threading.Thread(target=self._run, name="episode-writer", daemon=True)
        self._thread.start()

    def begin(self, meta: EpisodeMeta) -> None:
        """Open an episode. It holds what was put since ``meta.started``, even when this call comes a little late."""
        with self._wake:
            self._refused = dict.fromkeys(self._is_image, 0)
            self._recording = True
            self._queue.append(("begin", meta, self._refused))
            for topic, received, message in self._recent.take(int(meta.started * 1e9)):
                self._queue.append(("message", topic, received, message))
                self._queued_bytes += len(message)
            self._wake.notify()

    def put(self, topic: str, received_ns: int, message: bytes) -> None:
        """One serialized message; kept only while an episode is open."""
        if not self._recording:
            self._recent.put(topic, received_ns, message)
            return
        self._recent.keep(topic, message)
        with self._wake:
            if self._queued_bytes + len(message) > self._limits[self._is_image[topic]]:
                self._refused[topic] += 1
                return
            self._queue.append(("message", topic, received_ns, message))
            self._queued_bytes += len(message)
            self._wake.notify()

    def end(self, ended: float, outcome: str, reason: str, operator: str) -> None:
        """Close the episode after everything that was put before."""
        with self._wake:
            self._recording = False
            self._queue.append(("end", ended, outcome, reason, operator))
            self._wake.notify()

    def close(self, timeout_s: float = 4.0) -> int:
        """End the thread; an open episode is completed as aborted. Returns how many messages were left unwritten."""
        if self._recording:
            self.end(time.time(), "aborted", "the recorder was stopped", "")
        with self._wake:
            self._queue.append(("quit",))
            self._wake.notify()
        self._thread.join(timeout_s)
        with self._wake:
            return sum(item[0] == "message" for item in self._queue)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._queue:
                    self._wake.wait(WAKE_S)
                item = self._queue.popleft() if self._queue else ("idle",)
                if item[0] == "message":
                    self._queued_bytes -= len(item[3])
            if item[0] == "quit":
                self._clear_previous(time.time(), "the recorder was stopped")
                return
            try:
                getattr(self, "_do_" + item[0])(*item[1:])
                self._guard_disk()
            except OSError as error:
                self._stop_early(f"writing failed: {error.strerror or error}")
            except UserError as error:
                self._stop_early(str(error))
            except Exception as error:  # a thread that died would leave a recorder that says it records
                self._stop_early(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")

    def _do_idle(self) -> None:
        if self._ending is not None:
            if time.monotonic() >= self._retry_s:
                self._finish()
        elif self._writer is not None and not self._writer.closed:
            self._writer.flush_if_due(time.time_ns())
        elif self._writer is None and self.state.fault and time.monotonic() >= self._next_disk_check:
            self._look_again()

    def _look_again(self) -> None:
        """A recorder that stopped early is well again once an episode could begin."""
        self._next_disk_check = time.monotonic() + DISK_CHECK_S
        with contextlib.suppress(OSError):
            _try_to_write(self._root)
            if shutil.disk_usage(self._root).free >= self._spec.min_free_bytes:
                self.state = dataclasses.replace(self.state, fault="")

    def _do_begin(self, meta: EpisodeMeta, refused: dict[str, int]) -> None:
        left = self._clear_previous(meta.started, "the next episode began before this one was stopped")
        self._stopped_early, self._writing_refused = "", refused
        self.state = RecorderState(episode_id=meta.episode_id)
        free = shutil.disk_usage(self._root).free
        if free < self._spec.min_free_bytes:
            self._stop_early(self._too_full(free))
            return
        self._writer = EpisodeWriter(self._root, meta, self._topics, self._spec)
        self._writer.complaint = left
        self._checked_bytes = 0
        self._publish_state()

    def _do_message(self, topic: str, received_ns: int, message: bytes) -> None:
        if self._writer is None or self._writer.closed:
            self._writing_refused[topic] += 1
            return
        self._writer.write(topic, received_ns, message)

    def _do_end(self, ended: float, outcome: str, reason: str, operator: str) -> None:
        writer = self._writer
        if writer is None:
            self.state = RecorderState(fault=self._stopped_early)
            return
        meta = dataclasses.replace(
            writer.meta, ended=ended, outcome=outcome, reason=reason, operator=operator or writer.meta.operator,
            streams=writer.summaries(self._writing_refused),
        )
        if not writer.closed:
            with contextlib.suppress(OSError):
                writer.note(meta)  # before the bag, which takes time
            self._close_bag()
        if self._stopped_early:
            reason = "; ".join(filter(None, (reason, f"recording stopped early: {self._stopped_early}")))
        streams, disk = writer.summaries(self._writing_refused), writer.meta.disk
        self._ending = dataclasses.replace(meta, reason=reason, disk=disk, streams=streams), self._stopped_early
        self._finish()

    def _finish(self) -> None:
        """Give the episode that ended its name; an OSError leaves it for another try."""
        self._retry_s = time.monotonic() + RETRY_S
        writer, (meta, self._stopped_early) = self._writer, self._ending
        folder = writer.finish(meta)
        self._writer = self._ending = None
        self.state = RecorderState(
            "", str(folder), self._stopped_early, writer.complaint, writer.bytes_written, meta.streams
        )

    def _clear_previous(self, now_s: float, why: str) -> str:
        """Finish what is still open or unfinished; returns a complaint when it had to be left for repair."""
        if self._writer is None:
            return ""
        try:
            if self._ending is None:
                self._do_end(now_s, "aborted", why, "")
            else:
                self._finish()
        except Exception as error:  # must not cost the next episode, too
            writer, self._writer, self._ending = self._writer, None, None
            writer.leave()
            what = " ".join(str(error).split())
            return f"{writer.folder} was left unfinished ({what}); recover it with: prophrl data repair {self._root}"
        return ""

    def _guard_disk(self) -> None:
        if self._writer is None or self._writer.closed:
            return
        now, due_bytes = time.monotonic(), self._checked_bytes + DISK_CHECK_BYTES
        in_time = now < self._next_disk_check
        if in_time and self._writer.bytes_written < due_bytes:
            return
        self._checked_bytes = self._writer.bytes_written
        free = shutil.disk_usage(self._root).free
        if free < self._spec.min_free_bytes:
            self._stop_early(self._too_full(free))
        if not in_time:
            self._next_disk_check = now + DISK_CHECK_S
            self._publish_state()

    def _too_full(self, free: int) -> str:
        need = self._spec.min_free_bytes
        return (
            f"expected {need >> 20} MiB free on the disk of {self._root}, got {free >> 20} MiB;"
            " make room or lower min_free_bytes"
        )

    def _stop_early(self, why: str) -> None:
        """Keep what there is as a readable bag; count everything that still comes as lost."""
        self._stopped_early = why
        if self._writer is not None and not self._writer.closed:
            self._close_bag()
        self._publish_state()

    def _close_bag(self) -> None:
        try:
            self._writer.close_bag()
        except Exception as error:
            self._writer.abandon()
            what = getattr(error, "strerror", None) or " ".join(str(error).split())
            self._stopped_early = self._stopped_early or f"writing failed: {what}"

    def _publish_state(self) -> None:
        if self._writer is None:
            self.state = dataclasses.replace(self.state, fault=self._stopped_early)
            return
        self.state = RecorderState(
            self._writer.episode_id, str(self._writer.folder), self._stopped_early,
            self._writer.complaint, self._writer.bytes_written, self._writer.summaries(self._writing_refused),
        )


def _try_to_write(root: pathlib.Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    probe = root / ".writable"
    probe.touch()
    probe.unlink()
