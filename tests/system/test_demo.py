"""The main job, small: two trials with the shipped policy through the real nodes, and the report on them."""

import json
from pathlib import Path

import numpy as np
import yaml
from prophrl_core.config_path import find_config
from prophrl_core.episode_reader import read_episode

ROOT = Path(__file__).resolve().parents[2]


def write_cell(folder, ip):
    cell = yaml.safe_load(find_config("cells", "sim").read_text())
    cell["robot"]["ip"] = cell["cameras"][0]["host"] = ip
    path = folder / "cell.yaml"
    path.write_text(yaml.safe_dump(cell))
    return path


def test_demo_runs_trials_and_reports_them(process, tmp_path, ros_domain, loopback_ip):
    out = tmp_path / "demo"
    demo = process(
        [ROOT / "prophrl", "demo", "--trials", "2", "--cell", write_cell(tmp_path, loopback_ip), "--run", out], name="demo"
    )
    assert demo.wait(240) == 0, demo.output()
    figures = {f["name"]: f for f in json.loads((out / "summary.json").read_text())["figures"]}
    assert figures["demo.success"]["n"] == 2
    assert figures["demo.chunk_latency.p50"]["n"] >= 4
    assert 0.0 < figures["demo.tracking_error.p50"]["value"] < 50.0
    folders = sorted((out / "episodes").iterdir())
    assert len(folders) == 2
    for folder in folders:
        episode = read_episode(folder)
        pressed = episode.meta.outcome == "fault" and "contact_force" in episode.meta.reason
        assert episode.meta.outcome in ("success", "failure") or pressed, demo.output()
        assert episode.meta.policy_version.startswith("grasp_bottle/sft@")
        executed = episode.series("arm/executed_action")
        assert len(executed["t"]) >= 10
        assert np.abs(np.stack(executed["executed"])[:, :3]).sum() > 0.05
        pictures = list(episode.frames("front"))
        assert len(pictures) > 5 and pictures[0][1].std() > 10
        assert (out / "media" / f"{folder.name}.mp4").stat().st_size > 1000
        assert folder.name in (out / "report.html").read_text()
