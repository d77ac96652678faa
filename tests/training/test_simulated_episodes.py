"""Simulated datasets: rows that agree with each other, the same bytes however they came about, nothing overwritten."""

import dataclasses
import hashlib
import itertools
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from prophrl_bringup.cli import dispatch  # noqa: E402
from prophrl_core import action  # noqa: E402
from prophrl_core.cell import load_cell  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.task import load_task  # noqa: E402
from prophrl_sim.env import CellEnv  # noqa: E402
from prophrl_sim.random_cells import random_cell  # noqa: E402
from prophrl_training import simulated_episodes  # noqa: E402
from prophrl_training.datasets.publish import work_folder  # noqa: E402
from prophrl_training.datasets.reader import open_dataset  # noqa: E402
from prophrl_training.simulated_episodes import STOPPED_STEPS, TAIL_STEPS, SimulatedSource, play, play_policy  # noqa: E402
from simulated_dataset import SIZE, simulate, small_task  # noqa: E402

FRONT = "observation.images.front"


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    task = small_task(folder)
    return simulate(folder / "set", task), task


def integrated(first_10, actions_TD):
    """Proprioception after each action, from that of row 0."""
    T = np.eye(4)
    T[:3, 0], T[:3, 1], T[:3, 3] = first_10[3:6], first_10[6:9], first_10[:3]
    T[:3, 2] = np.cross(T[:3, 0], T[:3, 1])
    return action.proprioception(*action.integrate(T, actions_TD))


def test_rows_agree_and_say_what_they_are(made):
    dataset = open_dataset(made[0])
    assert len(dataset.episodes) == 4 and dataset.fps == 10
    own = dataset.info["prophrl"]
    assert own["simulated"] == {"cells": 2, "each": 2, "seed": 5} and own["spec_id"] == load_task(made[1]).action.id
    for position, entry in enumerate(dataset.episodes):
        rows = dataset.rows(position)
        proprio, actions = rows["observation.proprio"].astype(float), rows["action"].astype(float)
        np.testing.assert_allclose(integrated(proprio[0], actions[:-1]), proprio[1:], atol=2e-5)
        (bottle,) = np.moveaxis(rows["truth.objects"].reshape(-1, 1, 9), 1, 0)
        task = random_cell(load_cell("sim"), load_task(made[1]), 5 + position // 2)[1]
        assert task.objects["bottle"].x[0] < bottle[0, 0] < task.objects["bottle"].x[1]
        assert np.isclose(np.cross(bottle[:, 3:6], bottle[:, 6:9])[0, 2], 1, atol=1e-2), "it stands"
        assert rows["truth.contact"].shape == (entry.length, 2) and not rows["truth.contact"][0].any()
        assert rows["truth.success"].shape == (entry.length,) and not rows["truth.success"][0]
        assert (entry.facts["outcome"] == "success") == bool(rows["truth.success"][-1])
        camera = json.loads(entry.facts["camera_json"])
        cell = random_cell(load_cell("sim"), load_task(made[1]), 5 + position // 2)[0]
        assert entry.facts["cell"] == cell.name and camera["T_base_camera"] == list(cell.cameras[0].T_base_camera)
        assert (camera["width"], camera["fx"]) == (SIZE, pytest.approx(cell.cameras[0].fx * SIZE / 192))
        pictures = list(dataset.frames(position, FRONT))
        assert len(pictures) == entry.length and pictures[0].shape == (SIZE, SIZE, 3) and pictures[0].std() > 10
    assert len({entry.facts["episode_id"] for entry in dataset.episodes}) == 4


def test_neither_processes_nor_a_kill_change_the_result(made, tmp_path, monkeypatch):
    folder, task = made
    whole = digests(folder)
    assert digests(simulate(tmp_path / "two", task, workers=2)) == whole

    staged, count = simulated_episodes._stage, []

    def killed(env, job, number, seed, part):
        count.append(part)
        if len(count) == 3:
            part.mkdir(parents=True, exist_ok=True)
            (part / f"{FRONT}.mp4").write_bytes(b"half a picture")
            (part / "part.json.partial").write_text('{"task": ')
            raise KeyboardInterrupt
        staged(env, job, number, seed, part)

    monkeypatch.setattr(simulated_episodes, "_stage", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "killed", task)
    assert not (tmp_path / "killed").exists()
    assert digests(simulate(tmp_path / "killed", task)) == whole
    assert len(count) == 5 and len(set(count)) == 4, "what was finished is not played again"
    assert not work_folder(tmp_path / "killed").exists()
    simulate(tmp_path / "killed", task, seed=6, cells=1, each=1)
    assert len(open_dataset(tmp_path / "killed").episodes) == 1, "a dataset of this command may be made anew"


def test_no_random_cell_is_the_cell_as_it_is(made, tmp_path):
    dataset = open_dataset(simulate(tmp_path / "set", made[1], cells=0, each=1))
    (entry,) = dataset.episodes
    told, image = json.loads(entry.facts["camera_json"]), load_task(made[1]).image
    camera = load_cell("sim").cameras[0]
    model = dataclasses.asdict(camera.model.cropped(*image.crop).scaled(SIZE, SIZE))
    assert told == json.loads(json.dumps(model | {"T_base_camera": camera.T_base_camera}))
    assert entry.facts["cell"] == "sim" and len(list(dataset.frames(0, FRONT))) == entry.length


def test_what_decides_the_episodes_decides_the_digest():
    source = SimulatedSource(load_cell("sim"), load_task("grasp_bottle"), 2, 3, 0)
    others = [dataclasses.replace(source, **c) for c in ({"cells": 3}, {"each": 4}, {"seed": 1},
              {"task": load_task("place_cube")}, {"cell": load_cell("ur30e")})]  # fmt: skip
    assert len({s.digest for s in (source, *others)}) == 6 and len(source.digest) == 16
    assert list(source.jobs()) == [0, 1] and list(dataclasses.replace(source, cells=0).jobs()) == [0]


def test_nobody_elses_dataset_is_replaced_and_bad_numbers_are_one_line(made, tmp_path):
    out = tmp_path / "converted"
    (out / "meta").mkdir(parents=True)
    info = json.loads((made[0] / "meta" / "info.json").read_text())
    del info["prophrl"]["simulated"]
    (out / "meta" / "info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match="expected nothing there or a simulated dataset"):
        simulate(out, made[1])
    assert json.loads((out / "meta" / "info.json").read_text()) == info
    for words in (["--each=0"], ["--cells=-1"], ["--workers=-1"], ["--seed=-1"]):
        with pytest.raises(UserError, match="or more, got"):
            dispatch(["data", "simulate", f"--out={tmp_path / 'none'}", *words])
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def env():
    cell, task, looks = random_cell(load_cell("sim"), load_task("grasp_bottle"), 1)
    task = dataclasses.replace(task, image=dataclasses.replace(task.image, size=64), horizon_steps=60)
    env = CellEnv(cell, task, images=False, looks=looks)
    yield env
    env.close()


def check(take):
    """Every list has a row of each, and the actions lead from row to row."""
    lengths = {len(getattr(take, field.name)) for field in dataclasses.fields(take)}
    assert len(lengths) == 1
    proprio = np.array(take.proprio)
    np.testing.assert_allclose(integrated(proprio[0], np.array(take.actions)[:-1]), proprio[1:], atol=1e-9)


def pressing():
    """Straight down, faster than a step may be, and to the side beyond the box's corner."""
    yield np.array([0.05, 0.05, 0.05, 0.3, 0.3, 0, 2.0])
    while True:
        yield np.array([0, 0, 0.03, 0, 0, 0, 0.3])


def test_a_contact_stop_has_a_tail_in_which_the_action_goes_on(env):
    env.reset(seed=3)
    start = env.commanded_pose.copy()
    take = play(env, pressing())
    check(take)
    assert np.linalg.norm(take.actions[0][:3]) == pytest.approx(env.task.action.max_translation)
    assert np.linalg.norm(take.actions[0][3:6]) == pytest.approx(env.task.action.max_rotation)
    assert take.actions[0][6] == 1.0 and np.allclose(take.proprio[0], action.proprioception(start, take.proprio[0][9]))
    contact = np.array(take.contact)
    stopped = contact[:, 1] == 1
    assert stopped.sum() == STOPPED_STEPS and stopped[-STOPPED_STEPS:].all() and contact[stopped, 0].all()
    assert not np.any(take.success)
    frozen = [p for p, s in zip(take.pictures, stopped, strict=True) if s]
    assert all(np.array_equal(p, frozen[0]) for p in frozen) and not np.array_equal(take.pictures[0], frozen[0])
    fallen = np.array(take.proprio)[-STOPPED_STEPS:, 2]
    moved = np.array(take.actions)[-STOPPED_STEPS:]
    assert (moved == moved[0]).all() and (np.diff(fallen) < 0).all(), "the commanded pose goes on, the arm does not"


def test_success_has_a_tail_and_the_horizon_an_end(env):
    env.reset(seed=3)
    steps = env.plant.success
    try:
        env.plant.success = lambda: env.steps >= 5
        take = play(env, itertools.repeat(np.zeros(7)))
        assert take.success == [False] * 5 + [True] * TAIL_STEPS
    finally:
        env.plant.success = steps
    check(take)
    env.reset(seed=3)
    take = play(env, itertools.repeat(np.zeros(7)))
    assert len(take.actions) == round(simulated_episodes.MOST_OF_HORIZON * env.task.horizon_steps) == 45


def test_a_policys_actions_are_the_commanded_motion(env):
    seen = []

    def infer(observation):
        seen.append(observation)
        rng = np.random.default_rng(len(seen))
        chunk = rng.normal(scale=0.01, size=(20, 7))
        chunk[:, 2] = 0.004
        chunk[:, 6] = rng.random(20)
        return chunk

    env.reset(seed=3)
    start = env.commanded_pose.copy()
    take = play_policy(env, infer, latency=0.1)
    check(take)
    assert len(take.actions) == env.steps + 1 and len(seen) == -(-env.steps // env.task.execute_steps)
    np.testing.assert_allclose(take.proprio[0][:3], start[:3, 3], atol=1e-12)
    np.testing.assert_allclose(take.proprio[-1], env.proprio(), atol=1e-12)
    assert (take.actions[-1][:6] == 0).all() and take.actions[-1][6] == take.proprio[-1][9]
    second = env.task.execute_steps
    np.testing.assert_array_equal(seen[1]["image"], take.pictures[second])
    np.testing.assert_allclose(seen[1]["proprio"], take.proprio[second], atol=1e-6)
    assert seen[0]["image"].shape == (64, 64, 3) and seen[0]["proprio"].dtype == np.float32


def test_rollouts_of_a_given_length_go_on_beyond_success_and_beyond_a_contact_stop(env):
    def press(observation):
        chunk = np.zeros((20, 7))
        chunk[:, 2] = 0.02  # the tool points down
        return chunk

    env.reset(seed=4)
    take = play_policy(env, press, latency=0.1, steps=70)
    check(take)
    assert len(take.actions) == 71 and env.motion.contact_stop
    stopped = np.flatnonzero(np.array(take.contact)[:, 1])[0]
    assert 10 < stopped < 60
    assert all(picture is take.pictures[stopped] for picture in take.pictures[stopped + 1 :]), "the arm stands still"
    below = np.array(take.proprio)[:, 2]
    assert below[-1] < below[stopped] - 0.1, "what the policy asks for goes on"
