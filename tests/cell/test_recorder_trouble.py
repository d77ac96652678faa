"""What goes wrong inside the recorder: the thread outlives it, the label outlives it, and it is said."""

import threading
import time

from episode_maker import joint_state, meta, record_24_frames, recorder_for, wait_for
from prophrl_cell.recorder.episode_writer import EpisodeWriter
from prophrl_core.cell import RecorderSpec
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
