"""Merge, split, statistics, push and training from a converted dataset."""

import argparse
import base64
import dataclasses
import http.server
import json
import threading

import numpy as np
import pytest
from made_episodes import Recipe, make_episode
from prophrl_core.errors import UserError
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.task import PolicyImage, load_task
from prophrl_training.commands import data_push, data_stats
from prophrl_training.datasets.convert import convert
from prophrl_training.datasets.merge import choose_validation, merge, split
from prophrl_training.datasets.reader import open_dataset
from prophrl_training.datasets.staging import ConversionRequest

FRONT = "observation.images.front"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of two datasets, one of 4 episodes (one failed), one of 2."""
    root = tmp_path_factory.mktemp("made")
    for i in range(6):
        outcome = "failure" if i == 2 else "success"
        recipe = Recipe(seed=i, seconds=0.8 + 0.1 * i, outcome=outcome, policy_shift=0.01 * i)
        make_episode(root / ("a-in" if i < 4 else "b-in"), f"ep-{i}", recipe)
    for name in "ab":
        convert(ConversionRequest((root / f"{name}-in",), root / name), lambda *_: None)
    return root / "a", root / "b"


def contents(dataset):
    """Rows and pictures by episode id."""
    out = {}
    for position, entry in enumerate(dataset.episodes):
        rows = dataset.window(position, range(entry.length), ["action", "observation.state", FRONT])
        out[entry.facts["episode_id"]] = rows, entry.facts
    return out


def same(a, b):
    assert a.keys() == b.keys()
    for name, (rows, facts) in a.items():
        assert facts == b[name][1]
        for key, values in rows.items():
            np.testing.assert_array_equal(values, b[name][0][key])


@pytest.mark.parametrize("where", [".partial", ".previous", ".work"])
def test_nothing_of_the_users_beside_a_dataset_is_deleted(made, tmp_path, where):
    theirs = tmp_path / f"both{where}" / "photographs" / "holiday.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"x")
    with pytest.raises(UserError, match=f"both{where}: expected nothing there or what a conversion left"):
        merge([open_dataset(folder) for folder in made], tmp_path / "both")
    assert theirs.read_bytes() == b"x"


def test_merge_keeps_every_row_and_picture(made, tmp_path):
    parts = [open_dataset(folder) for folder in made]
    merge(parts, tmp_path / "both")
    both = open_dataset(tmp_path / "both")
    same(contents(both), contents(parts[0]) | contents(parts[1]))
    assert both.info["prophrl"] == parts[0].info["prophrl"]
    with pytest.raises(UserError, match="episode ep-0 is in"):
        merge([parts[0], both], tmp_path / "twice")
    with pytest.raises(UserError, match="is there already"):
        merge(parts, tmp_path / "both")
    other = dataclasses.replace(parts[1], info=parts[1].info | {"fps": 20})
    with pytest.raises(UserError, match="20 rows a second, expected 10"):
        merge([parts[0], other], tmp_path / "mixed")


def test_split_is_seeded_and_takes_each_outcome_alike(made, tmp_path):
    dataset = open_dataset(made[0])
    split(dataset, tmp_path / "split", 0.5, seed=3)
    divided = open_dataset(tmp_path / "split")
    assert divided.info["splits"] == {"train": "0:2", "val": "2:4"}
    same(contents(divided), contents(dataset))
    assert [divided.episodes[p].index for p in divided.split("val")] == [2, 3]
    episodes = [
        dataclasses.replace(dataset.episodes[0], index=i, facts={"outcome": "success" if i % 4 else "failure"})
        for i in range(40)
    ]
    large = dataclasses.replace(dataset, episodes=tuple(episodes))
    chosen = choose_validation(large, 0.2, seed=1)
    assert chosen == choose_validation(large, 0.2, seed=1) != choose_validation(large, 0.2, seed=2)
    outcomes = [large.episodes[p].facts["outcome"] for p in chosen["val"]]
    assert (outcomes.count("success"), outcomes.count("failure")) == (6, 2)
    assert sorted(chosen["train"] + chosen["val"]) == list(range(40))


def run(module, *words):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(word) for word in words]))


def test_stats_are_compared_and_put_right(made, tmp_path, capsys):
    merge([open_dataset(made[0])], tmp_path / "copy")
    assert run(data_stats, tmp_path / "copy") == 0
    path = tmp_path / "copy" / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats["action"]["mean"][1] += 0.01
    path.write_text(json.dumps(stats))
    assert run(data_stats, tmp_path / "copy") == 1
    table = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert table["action"].endswith("DIFFERS") and table["observation.state"].endswith("good")
    path.unlink()
    with pytest.raises(UserError, match="data stats"):
        open_dataset(tmp_path / "copy")
    assert run(data_stats, tmp_path / "copy", "--write") == 0
    assert run(data_stats, tmp_path / "copy") == 0


class Hub(http.server.BaseHTTPRequestHandler):
    """The hub's side of create_repo, preupload, commit and tag."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, self.headers.get("Authorization"), body))
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        elif self.path == "/api/repos/create":
            answer = {"url": f"{self.server.address}/datasets/lab/bottles", "name": "lab/bottles"}
        elif "/commit/" in self.path:
            address = f"{self.server.address}/datasets/lab/bottles/commit/1"
            answer = {"commitUrl": address, "commitOid": "1", "success": True}
        else:
            answer = {}
        data = json.dumps(answer).encode()
        self.send_response(200 if self.server.open else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.calls, server.open, server.address = [], True, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_lab")
    yield server
    server.shutdown()
    server.server_close()


def test_push_sends_every_file_in_one_commit(made, hub, monkeypatch):
    api_at(monkeypatch, hub.address)
    assert run(data_push, made[0], "--repo", "lab/bottles") == 0
    commit = next(body for path, _, body in hub.calls if "/commit/" in path)
    sent = {}
    for line in commit.splitlines():
        entry = json.loads(line)
        if entry["key"] == "file":
            sent[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
    card = sent.pop("README.md").decode()
    assert "LeRobot" in card and "grasp the bottle" in card
    assert sent == {str(p.relative_to(made[0])): p.read_bytes() for p in made[0].rglob("*") if p.is_file()}
    assert any(path.endswith("/tag/main") and b"v3.0" in body for path, _, body in hub.calls)
    assert {authorization for _, authorization, _ in hub.calls} == {"Bearer hf_of_the_lab"}


def api_at(monkeypatch, address):
    import huggingface_hub
    from prophrl_training.datasets import push

    monkeypatch.setattr(push, "HfApi", lambda: huggingface_hub.HfApi(endpoint=address))


def test_push_says_why_it_cannot(made, hub, monkeypatch):
    api_at(monkeypatch, hub.address)
    hub.open = False
    with pytest.raises(UserError, match="hub: refused lab/bottles"):
        run(data_push, made[0], "--repo", "lab/bottles")
    api_at(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="hub: cannot be reached"):
        run(data_push, made[0], "--repo", "lab/bottles")
    calls = len(hub.calls)
    assert run(data_push, made[0], "--repo", "lab/bottles", "--dry-run") == 0 and len(hub.calls) == calls


def test_a_dataset_trains_like_demonstrations(made):
    pytest.importorskip("torch")
    from prophrl_training.recorded_demonstrations import recorded_demonstrations

    dataset = open_dataset(made[0])
    task = load_task("grasp_bottle")
    with pytest.raises(UserError, match="expected actions of spec"):
        faster = dataclasses.replace(task, action=dataclasses.replace(task.action, rate_hz=20.0))
        recorded_demonstrations(dataset, faster, 0.1, 0, lambda *_: None)
    task = dataclasses.replace(task, image=PolicyImage("front", (8, 0, 48, 48), 16))
    training, validation = recorded_demonstrations(dataset, task, 0.1, 0, lambda *_: None)
    assert (training.episodes, validation.episodes) == (2, 1)  # the failed episode teaches nothing
    seeds = [*training.scene_seeds_E, *validation.scene_seeds_E]
    assert sorted(seeds) == [0, 1, 3]
    for demonstrations in (training, validation):
        for episode, seed in enumerate(demonstrations.scene_seeds_E):
            rows = slice(*demonstrations.starts_E1[episode : episode + 2])
            position = next(p for p, e in enumerate(dataset.episodes) if e.facts["seed"] == seed)
            window = dataset.window(position, range(dataset.episodes[position].length))
            np.testing.assert_array_equal(demonstrations.actions_ND[rows], window["action"])
            np.testing.assert_array_equal(demonstrations.proprio_NP[rows], window["observation.proprio"])
            pictures = [crop_and_resize(picture, task.image) for picture in window[FRONT]]
            np.testing.assert_array_equal(demonstrations.images_NSSC[rows], pictures)
