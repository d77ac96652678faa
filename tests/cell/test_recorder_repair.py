"""`data repair`: what it takes, what it must leave alone, and what it says of what was lost."""

import argparse
import os
import signal
import subprocess
import sys

import episode_maker
import pytest
from episode_maker import joint_state, meta, recorder_for
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
