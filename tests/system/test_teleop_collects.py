"""From hands to a policy: episodes collected through the console in a browser, converted, looked at, learnt."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prophrl_core.episode_reader import read_episode
from system import browser as chromium
from system.test_demo import ROOT, write_cell

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())
OPERATOR = Path(__file__).with_name("browser_operator.py")
TRIALS = 2
# A browser, a renderer and a cell on two cores: pictures and states come late now and then.
SLOW_MACHINE = ("--max-image-age", "0.4", "--max-state-gap", "0.6")


def prophrl(*words) -> str:
    done = subprocess.run([ROOT / "prophrl", *map(str, words)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def slow_camera_cell(folder, ip):
    """The simulated cell with pictures half as often: a browser wants its share of two cores."""
    path = write_cell(folder, ip)
    cell = yaml.safe_load(path.read_text())
    cell["cameras"][0]["fps"] = 15
    path.write_text(yaml.safe_dump(cell))
    return path


def test_episodes_collected_in_the_browser_become_a_policy(process, tmp_path, ros_domain, loopback_ip):
    run_dir = tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--cell", slow_camera_cell(tmp_path, loopback_ip), "--run", run_dir, "--console-port", port]
    teleop = process([ROOT / "prophrl", "teleop", "grasp_bottle", *words, "--operator", "ada"], name="teleop")
    url = teleop.wait_for(r"^\[console_node\].*console: (http\S+)", timeout=90)[1]
    words = ["--url", url, "--robot-ip", loopback_ip, "--trials", TRIALS, "--seed", 390000000]
    person = process([sys.executable, OPERATOR, *words], name="person")
    person.wait_for(r"^\d+ of \d+ succeeded", timeout=200)
    assert person.wait() == 0, person.output() + teleop.output()
    assert teleop.interrupt(timeout=30) in (0, 130), teleop.output()

    labelled = 0
    for folder in sorted((run_dir / "episodes").iterdir()):
        episode = read_episode(folder)
        if episode.meta.outcome in ("success", "failure"):
            labelled += 1
            assert episode.meta.operator and episode.meta.control.teleop > 20 and episode.meta.control.policy == 0
            assert sum(stream.lost for stream in episode.meta.streams) == 0
    assert labelled == TRIALS

    dataset, bundle = tmp_path / "dataset", tmp_path / "bundle"
    prophrl("data", "inspect", run_dir / "episodes", "--html", tmp_path / "look.html")
    assert (tmp_path / "look.html").stat().st_size > 20_000
    prophrl("data", "convert", run_dir / "episodes", "--out", dataset, *SLOW_MACHINE)
    assert json.loads((dataset / "meta" / "info.json").read_text())["total_episodes"] == TRIALS
    words = ("--dataset", dataset, "--steps", "50", "--out", bundle, "--run", tmp_path / "sft")
    prophrl("train", "sft", "--task", "grasp_bottle", *words)
    assert (bundle / "manifest.json").is_file()
