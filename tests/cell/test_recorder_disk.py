"""Disks that fill up (a small tmpfs, where mounting one is permitted), hang and fail."""

import errno
import os
import subprocess
import threading
import time

import episode_maker as t
import numpy as np
import pytest
from prophrl_cell.recorder.mcap_scan import Damage, scan
from prophrl_cell.recorder.repair import repair_episode
from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import read_meta
from prophrl_core.episode_reader import read_episode
from prophrl_core.errors import UserError

SIZE_MB = 32


@pytest.fixture
def small_disk(tmp_path):
    """An empty file system of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(recorder, episode):
    """Raw pictures and numbered joint states until the recorder says it stopped; how many joint states were put."""
    rng = np.random.default_rng(0)
    recorder.begin(episode)
    number, deadline = 0, time.monotonic() + 30
    while not recorder.state.fault:
        assert time.monotonic() < deadline, "the disk never filled up"
        now_ns = time.time_ns()
        noise = rng.integers(0, 255, (240, 320, 3), np.uint8)
        recorder.put(t.COLOUR, now_ns, t.image_message(now_ns, "camera_front", "rgb8", noise))
        recorder.put("/joint_states", now_ns, t.joint_state(now_ns, [number] * 6))
        number += 1
        time.sleep(0.004)
    recorder.end(episode.started + 9, "success", "held", "ada")
    recorder.close(30)
    return number


@pytest.mark.parametrize(("min_free_mb", "why"), [(8, "expected 8 MiB free"), (0, "writing failed: No space left")])
def test_a_full_disk_loses_nothing_that_was_written_and_says_so(small_disk, min_free_mb, why):
    spec = RecorderSpec(colour="raw", min_free_bytes=min_free_mb << 20)
    recorder, episode = t.recorder_for(small_disk, spec), t.meta()
    put = fill(recorder, episode)
    assert why in recorder.state.fault
    (folder,) = small_disk.iterdir()
    assert folder.name == episode.episode_id, "the episode is whole, nothing has to be repaired"
    meta = read_meta(folder)
    assert meta.outcome == "success" and "held; recording stopped early" in meta.reason and why in meta.reason
    joints = {s.topic: s for s in meta.streams}["/joint_states"]
    assert joints.messages + joints.lost == put, "what was not written is counted"
    numbers = read_episode(folder).series("/joint_states")["position"][:, 0]
    np.testing.assert_array_equal(numbers, np.arange(joints.messages))
    written_mb = joints.messages * 320 * 240 * 3 / 1e6
    assert written_mb > 0.6 * (SIZE_MB - min_free_mb), "it records up to the limit"


def test_repair_on_a_full_disk_is_one_line_and_costs_nothing(small_disk):
    recorder, episode = t.recorder_for(small_disk, RecorderSpec(colour="raw", min_free_bytes=0)), t.meta()
    fill(recorder, episode)
    partial = (small_disk / episode.episode_id).rename(small_disk / f"{episode.episode_id}.partial")
    before = (partial / f"{episode.episode_id}.mcap").read_bytes()
    with pytest.raises(UserError, match=r"could not be written .No space left on device.; make room"):
        repair_episode(partial)
    assert (partial / f"{episode.episode_id}.mcap").read_bytes() == before
    assert sorted(p.name for p in partial.iterdir()) == [f"{episode.episode_id}.mcap", "episode.json", "metadata.yaml"]


def put_joints(recorder, episode, count):
    recorder.begin(episode)
    for number in range(count):
        now_ns = time.time_ns()
        recorder.put("/joint_states", now_ns, t.joint_state(now_ns, [number] * 6))
        time.sleep(0.01)


def test_a_sync_that_hangs_keeps_nothing_from_the_kernel(tmp_path, monkeypatch):
    begun, release = [], threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: (begun.append(1), release.wait(30.0)))
    recorder, episode = t.recorder_for(tmp_path, RecorderSpec(min_free_bytes=0, sync_seconds=0.05)), t.meta()
    put_joints(recorder, episode, 100)
    (bag,) = tmp_path.glob("*.partial/*.mcap")
    written = sum(1 for _ in scan(bag, Damage()))
    assert len(begun) == 1, "the first sync still hangs"
    assert written > 50, "a kill now would cost the last quarter of a second"
    release.set()
    recorder.end(episode.started + 1, "success", "", "")
    recorder.close(30)
    assert read_meta(tmp_path / episode.episode_id).disk.sync_max >= 500


def test_a_disk_that_fails_to_sync_is_said(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    recorder, episode = t.recorder_for(tmp_path, RecorderSpec(min_free_bytes=0, sync_seconds=0.05)), t.meta()
    put_joints(recorder, episode, 60)
    recorder.end(episode.started + 1, "success", "", "")
    recorder.close(30)
    assert "writing failed: Input/output error" in recorder.state.fault
    assert "recording stopped early: writing failed" in read_meta(tmp_path / episode.episode_id).reason
