"""What goes wrong inside the recorder: the thread outlives it, the label outlives it, and it is said."""

import errno
import shutil
import threading
import time

from episode_maker import joint_state, meta, record_24_frames, recorder_for, wait_for
from prophrl_cell.recorder import episode_recorder, episode_writer
from prophrl_cell.recorder.episode_writer import EpisodeWriter
from prophrl_cell.recorder.mcap_writer import McapWriter
from prophrl_cell.recorder.repair import repair_episode
from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import read_meta
from prophrl_core.episode_reader import read_episode


def test_what_nobody_thought_of_stops_the_episode_and_not_the_recorder(tmp_path, monkeypatch):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    real, first = EpisodeWriter.write, meta()

    def write(writer, topic, received_ns, message):
        if message == b"surprise":
            raise ZeroDivisionError("a bug\nin two lines")
        real(writer, topic, received_ns, message)

    monkeypatch.setattr(EpisodeWriter, "write", write)
    recorder.begin(first)
    now_ns = int(first.started * 1e9)
    for message in (joint_state(now_ns, [1] * 6), b"surprise", joint_state(now_ns, [2] * 6)):
        recorder.put("/joint_states", now_ns + 1, message)
    wait_for(lambda: recorder.state.fault)
    assert recorder.state.fault == "internal error: ZeroDivisionError: a bug in two lines"
    recorder.end(first.started + 1, "success", "held", "ada")
    record_24_frames(recorder, meta("20261121-034500-grasp_bottle-001"), with_depth=False)
    stopped = read_episode(tmp_path / first.episode_id)
    assert stopped.meta.reason == "held; recording stopped early: internal error: ZeroDivisionError: a bug in two lines"
    assert {s.topic: (s.messages, s.lost) for s in stopped.meta.streams}["/joint_states"] == (1, 1)
    assert len(read_episode(tmp_path / "20261121-034500-grasp_bottle-001").series("joint_states")["t"]) == 24


def test_closing_says_how_much_was_not_written(tmp_path, monkeypatch):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    held = threading.Event()
    monkeypatch.setattr(recorder, "_do_message", lambda *_: held.wait(10))  # a disk that stands still
    recorder.begin(meta())
    for _ in range(5):
        recorder.put("/joint_states", time.time_ns(), joint_state(1, [1] * 6))
    wait_for(lambda: len(recorder._queue) == 4)
    assert recorder.close(0.1) == 4
    held.set()
    assert recorder.close(10) == 0


FIRST, SECOND = "20261121-034500-grasp_bottle-000", "20261121-034500-grasp_bottle-001"


class FailingMeta:
    """``episode.json`` with an outcome can not be written while ``on``: a disk that others keep full."""

    def __init__(self, monkeypatch):
        self.on, self.refused, self._real = True, 0, episode_writer.write_meta
        monkeypatch.setattr(episode_writer, "write_meta", self._write)
        monkeypatch.setattr(episode_recorder, "RETRY_S", 0.1)

    def _write(self, folder, meta):
        if self.on and meta.outcome and meta.episode_id == FIRST:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self._real(folder, meta)


def record_first(recorder):
    first = meta(FIRST)
    recorder.begin(first)
    for i in range(10):
        now_ns = int((first.started + 0.01 * i) * 1e9) + 1
        recorder.put("/joint_states", now_ns, joint_state(now_ns, [i] * 6))
    recorder.end(first.started + 1, "success", "held", "ada")


def test_a_label_that_cannot_be_written_is_kept_until_it_can(tmp_path, monkeypatch):
    failing = FailingMeta(monkeypatch)
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    record_first(recorder)
    wait_for(lambda: failing.refused > 4)
    assert recorder.state.fault == "writing failed: No space left on device" and recorder.state.episode_id == FIRST
    failing.on = False
    wait_for(lambda: (tmp_path / FIRST).is_dir() and not recorder.state.episode_id)
    assert recorder.state.fault == "", "the next trial may begin"
    recorder.close(30)
    episode = read_episode(tmp_path / FIRST)
    assert (episode.meta.outcome, episode.meta.reason, episode.meta.operator) == ("success", "held", "ada")
    assert len(episode.series("joint_states")["t"]) == 10
    assert [p.name for p in tmp_path.iterdir()] == [FIRST]


def test_an_episode_that_cannot_be_finished_does_not_cost_the_next(tmp_path, monkeypatch):
    FailingMeta(monkeypatch)
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    record_first(recorder)
    recorder.begin(meta(SECOND))
    wait_for(lambda: recorder.state.episode_id == SECOND and recorder.state.folder)
    assert f"{FIRST}.partial was left unfinished" in recorder.state.complaint
    recorder.put("/joint_states", time.time_ns(), joint_state(1, [1] * 6))
    recorder.end(time.time(), "failure", "", "")
    recorder.close(30)
    assert read_episode(tmp_path / SECOND).meta.outcome == "failure"
    monkeypatch.undo()
    assert repair_episode(tmp_path / f"{FIRST}.partial").outcome == "aborted", "its lock was released"


def test_the_label_is_on_disk_before_the_bag_is_completed(tmp_path, monkeypatch):
    seen, finish = [], McapWriter.finish

    def watched(writer, metadata):
        seen.append(read_meta(tmp_path / f"{FIRST}.partial"))
        finish(writer, metadata)

    monkeypatch.setattr(McapWriter, "finish", watched)
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    record_first(recorder)
    recorder.close(30)
    assert [(m.outcome, m.reason, m.operator) for m in seen] == [("success", "held", "ada")]


def test_a_disk_with_room_again_is_no_fault_any_more(tmp_path, monkeypatch):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=1 << 20))
    usage, free = shutil.disk_usage(tmp_path), [0]
    monkeypatch.setattr(episode_recorder.shutil, "disk_usage", lambda path: usage._replace(free=free[0]))
    recorder.begin(meta())
    wait_for(lambda: "make room" in recorder.state.fault)
    recorder.end(time.time(), "success", "", "ada")
    time.sleep(3 * episode_recorder.WAKE_S)
    assert "make room" in recorder.state.fault, "nothing has changed yet"
    free[0] = 2 << 20
    wait_for(lambda: not recorder.state.fault)
    record_24_frames(recorder, meta(SECOND), with_depth=False)
    assert len(read_episode(tmp_path / SECOND).series("joint_states")["t"]) == 24
