"""`data repair`: what it takes, what it must leave alone, and what it says of what was lost."""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys

import episode_maker
import pytest
from episode_maker import joint_state, meta, recorder_for
from mcap.reader import make_reader
from prophrl_cell.commands import repair
from prophrl_cell.recorder.repair import repair_episode
from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError


def run_repair(*folders):
    return repair.run(argparse.Namespace(folders=list(folders)))


def put_joints(recorder, episode, count):
    for number in range(count):
        now_ns = int((episode.started + number / 100) * 1e9)
        recorder.put("/joint_states", now_ns, joint_state(now_ns, [number] * 6))


def test_an_episode_that_is_being_recorded_is_left_alone(tmp_path, capsys):
    recorder, episode = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0)), meta()
    recorder.begin(episode)
    put_joints(recorder, episode, 300)
    episode_maker.wait_for(lambda: list(tmp_path.glob("*.partial/*.mcap")))
    assert run_repair(tmp_path) == 1
    assert "is still being recorded" in capsys.readouterr().err
    put_joints(recorder, episode, 300)
    recorder.end(episode.started + 6, "success", "", "ada")
    recorder.close(30)
    assert [p.name for p in tmp_path.iterdir()] == [episode.episode_id]
    whole = read_episode(tmp_path / episode.episode_id)
    assert whole.meta.outcome == "success" and len(whole.series("joint_states")["t"]) == 600


KILLED = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
import episode_maker as t
from prophrl_core.cell import RecorderSpec
recorder, episode = t.recorder_for(pathlib.Path(sys.argv[1]), RecorderSpec(min_free_bytes=0)), t.meta()
recorder.begin(episode)
for number in range(300):
    now_ns = int((episode.started + number / 100) * 1e9)
    recorder.put("/joint_states", now_ns, t.joint_state(now_ns, [number] * 6))
t.wait_for(lambda: recorder.state.bytes_written > 10_000)
print("recorded", flush=True)
sys.stdin.read()
"""


def test_a_kill_hands_the_episode_over_to_repair(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), os.path.dirname(episode_maker.__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "recorded\n"
        (partial,) = tmp_path.iterdir()
        with pytest.raises(UserError, match="is still being recorded"):
            repair_episode(partial)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert repair_episode(partial).outcome == "aborted"
    assert read_meta(tmp_path / meta().episode_id).streams


def record(root, count=300):
    recorder, episode = recorder_for(root, RecorderSpec(min_free_bytes=0)), meta()
    recorder.begin(episode)
    for number in range(count):
        now_ns = int((episode.started + number / 50) * 1e9) + 1
        recorder.put("/joint_states", now_ns, joint_state(now_ns, [number] * 6))
    recorder.end(episode.started + count / 50, "success", "held", "ada")
    recorder.close(30)
    return root / episode.episode_id


def set_meta(folder, **fields):
    path = folder / "episode.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def damage_chunk(folder, number):
    """Flip a byte in a chunk of the episode's bag; returns the bag as it is then."""
    bag = folder / f"{meta().episode_id}.mcap"
    with bag.open("rb") as file:
        start = make_reader(file).get_summary().chunk_indexes[number].chunk_start_offset
    content = bytearray(bag.read_bytes())
    content[start + 200] ^= 0xFF
    bag.write_bytes(content)
    return bytes(content)


def test_a_renamed_episode_is_whole_and_can_be_repaired_under_its_name(tmp_path, capsys):
    folder = record(tmp_path).rename(tmp_path / "the good one")
    assert run_repair(folder) == 0
    assert "the good one: whole, nothing to repair" in capsys.readouterr().out
    damage_chunk(folder, 3)
    assert run_repair(folder) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["the good one"]
    assert 200 < len(read_episode(folder).series("joint_states")["t"]) < 300


@pytest.mark.parametrize("harm", ["version", "missing bag", "not json"])
def test_an_episode_that_repair_can_do_nothing_for_keeps_its_name(tmp_path, harm, capsys):
    folder = record(tmp_path / "a", 20)
    good = record(tmp_path / "b")
    damage_chunk(good, 3)
    if harm == "version":
        set_meta(folder, format_version=99)
    elif harm == "missing bag":
        (folder / f"{folder.name}.mcap").unlink()
    else:
        (folder / "episode.json").write_text("{")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert run_repair(folder, good) == 1
    said = capsys.readouterr()
    assert said.err.startswith("prophrl: error: ") and "1 of 2 unfinished episodes repaired" in said.out
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert run_repair(good) == 0 and "whole" in capsys.readouterr().out


def test_an_interrupted_repair_gives_the_name_back(tmp_path, monkeypatch):
    folder = record(tmp_path)
    damage_chunk(folder, 3)

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("prophrl_cell.recorder.repair.repair_episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_repair(folder)
    assert folder.is_dir()


def test_repair_counts_what_was_lost_and_keeps_the_damaged_bag(tmp_path):
    folder = record(tmp_path, 8000)
    streams = json.loads((folder / "episode.json").read_text())["streams"]
    for stream in streams:
        stream["lost"] = 7 if stream["topic"] == "/joint_states" else 0
        stream["messages"] = 40 if stream["topic"] == "/arm/target" else stream["messages"]
    set_meta(folder, streams=streams)
    damaged = damage_chunk(folder, 3)
    assert run_repair(folder) == 0
    now = {s.topic: s for s in read_meta(folder).streams}
    joints = now["/joint_states"]
    assert 7900 < joints.messages < 8000 and joints.messages + joints.lost == 8007
    assert (now["/arm/target"].messages, now["/arm/target"].lost) == (0, 40), "a stream that is gone with the chunk"
    assert (folder / f"{folder.name}.mcap.damaged").read_bytes() == damaged
    assert len(read_episode(folder).series("joint_states")["t"]) == joints.messages
    again = damage_chunk(folder, 1)
    assert run_repair(folder) == 0
    joints = {s.topic: s for s in read_meta(folder).streams}["/joint_states"]
    assert joints.messages + joints.lost == 8007
    assert (folder / f"{folder.name}.mcap.damaged").read_bytes() == damaged
    assert (folder / f"{folder.name}.mcap.damaged-2").read_bytes() == again


def test_a_repair_that_fails_at_the_end_leaves_the_bag_as_it_was(tmp_path, monkeypatch):
    folder = record(tmp_path)
    damaged = damage_chunk(folder, 3)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("prophrl_cell.recorder.repair.write_meta", full)
    assert run_repair(folder) == 1
    assert (folder / f"{folder.name}.mcap").read_bytes() == damaged
    assert sorted(p.name for p in folder.iterdir()) == [f"{folder.name}.mcap", "episode.json", "metadata.yaml"]
