"""Datasets, simulated and recorded, as Prophet takes them; their clips are encoded once, and again when they change."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_episodes import make_episode, picture, pose_at  # noqa: E402
from prophrl_core import action, se3  # noqa: E402
from prophrl_core.cell import load_cell  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.policy_image import crop_and_resize  # noqa: E402
from prophrl_core.task import PolicyImage, load_task  # noqa: E402
from prophrl_sim.random_cells import random_cell  # noqa: E402
from prophrl_training import clip_cache  # noqa: E402
from prophrl_training.clip_cache import cached_chains  # noqa: E402
from prophrl_training.datasets.convert import convert  # noqa: E402
from prophrl_training.datasets.reader import open_dataset  # noqa: E402
from prophrl_training.datasets.staging import ConversionRequest  # noqa: E402
from prophrl_training.prophet_episodes import chosen_positions, read_prophet_episodes  # noqa: E402
from prophrl_world_model.autoencoder import VideoAutoencoder  # noqa: E402
from simulated_dataset import SIZE, SMALL, simulate, small_task  # noqa: E402

SEEN_KEY = "observation.images.front"
CELL = load_cell("sim")
SEEN = PolicyImage("front", (8, 0, 48, 48), SIZE)  # of the made episodes' 64x48
REAL_TASK = dataclasses.replace(load_task("grasp_bottle"), image=SEEN)
REAL_CELL = dataclasses.replace(
    CELL, cameras=(dataclasses.replace(CELL.cameras[0], width=64, height=48, fx=61.5, fy=61.5),)
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    path = small_task(folder)
    return open_dataset(simulate(folder / "set", path)), load_task(path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    make_episode(folder / "in", "ep-0")
    convert(ConversionRequest((folder / "in",), folder / "set"), lambda *_: None)
    return open_dataset(folder / "set")


def orthonormal(T_F44):
    R = T_F44[:, :3, :3]
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    assert np.allclose(np.linalg.det(R), 1) and (T_F44[:, 3] == [0, 0, 0, 1]).all()


def test_a_simulated_episode_brings_its_camera_and_the_truth(simulated):
    dataset, task = simulated
    episodes = list(read_prophet_episodes(dataset, SMALL, task, CELL))
    assert len(episodes) == 4
    for position, episode in enumerate(episodes):
        cell, other, _ = random_cell(CELL, task, 5 + position // 2)
        assert episode.view.camera == cell.cameras[0].model.scaled(SIZE, SIZE), "its own, though a cell is given"
        np.testing.assert_allclose(episode.view.T_base_camera, cell.cameras[0].pose, atol=1e-9)
        orthonormal(episode.T_base_tcp_F44)
        after, openness = action.integrate(episode.T_base_tcp_F44[0], episode.actions_K7)
        np.testing.assert_allclose(after, episode.T_base_tcp_F44[1:], atol=5e-5)
        np.testing.assert_allclose(openness, episode.openness_F[1:], atol=1e-6)
        rows = dataset.rows(position)
        np.testing.assert_array_equal(episode.labels.success_F, rows["truth.success"])
        np.testing.assert_array_equal(episode.labels.objects_FO9[:, 0], rows["truth.objects"])
        assert episode.labels.outcome == dataset.episodes[position].facts["outcome"]
        np.testing.assert_array_equal(episode.frames_FHW3, np.stack(list(dataset.frames(position, SEEN_KEY))))
    (only,) = read_prophet_episodes(dataset, SMALL, task, positions=[2])
    assert only.name == episodes[2].name
    half = dataclasses.replace(SMALL, height=16, width=16, memory_pools=(1, 2, 2))
    (shrunk,) = read_prophet_episodes(dataset, half, task, positions=[2])
    assert shrunk.frames_FHW3.shape[1:] == (16, 16, 3) and shrunk.view.camera.fx == only.view.camera.fx / 2


def test_a_recorded_episode_takes_the_camera_of_the_cell(recorded):
    (episode,) = read_prophet_episodes(recorded, SMALL, REAL_TASK, REAL_CELL)
    model = REAL_CELL.cameras[0].model.cropped(*SEEN.crop).scaled(SIZE, SIZE)
    assert episode.view.camera == model and model.fx == pytest.approx(61.5 * SIZE / 48)
    np.testing.assert_allclose(episode.view.T_base_camera, CELL.cameras[0].pose)
    orthonormal(episode.T_base_tcp_F44)
    assert len(episode.actions_K7) == 18 and episode.rate_hz == 10
    np.testing.assert_allclose(episode.T_base_tcp_F44[4], pose_at(0.005 + 0.4), atol=1e-4)
    after, _ = action.integrate(episode.T_base_tcp_F44[0], episode.actions_K7)
    np.testing.assert_allclose(after, episode.T_base_tcp_F44[1:], atol=5e-4)
    expected = crop_and_resize(picture(12), SEEN)  # 30 pictures a second: the 12th after 0.4 s
    assert np.abs(episode.frames_FHW3[4].astype(int) - expected).mean() < 6
    assert episode.labels.outcome == "success" and episode.labels.success_F is None
    measured = dataclasses.replace(REAL_CELL.cameras[0], intrinsics=(70.0, 71.0, 30.0, 25.0, 0.1, 0, 0, 0, 0))
    cell = dataclasses.replace(REAL_CELL, cameras=(measured,))
    (episode,) = read_prophet_episodes(recorded, SMALL, REAL_TASK, cell)
    assert episode.view.camera == measured.measured_model.cropped(*SEEN.crop).scaled(SIZE, SIZE)


def changed(dataset, position, **facts):
    entries = list(dataset.episodes)
    entries[position] = dataclasses.replace(entries[position], facts=entries[position].facts | facts)
    return dataclasses.replace(dataset, episodes=tuple(entries))


def test_what_does_not_fit_is_one_line(simulated, recorded):
    dataset, task = simulated
    other_spec = dataclasses.replace(task, action=dataclasses.replace(task.action, chunk_steps=30))
    on_tool = dataclasses.replace(REAL_CELL.cameras[0], T_tool0_camera=(0.0,) * 6)
    camera = json.loads(dataset.episodes[0].facts["camera_json"])
    for found, config, asked, cell, message in (
        (dataset, SMALL, other_spec, None, "expected actions of spec"),
        (dataset, dataclasses.replace(SMALL, rate_hz=5.0), task, None, "expected 5 rows a second"),
        (dataset, SMALL, dataclasses.replace(task, image=PolicyImage("wrist")), None, "images.wrist, found none"),
        (recorded, SMALL, REAL_TASK, None, "give --cell"),
        (recorded, SMALL, REAL_TASK, dataclasses.replace(CELL, cameras=()), "no camera 'front'"),
        (recorded, SMALL, REAL_TASK, dataclasses.replace(CELL, cameras=(on_tool,)), "is on the tool"),
        (recorded, SMALL, load_task("grasp_bottle"), REAL_CELL, "expected a frame of at least"),
        (changed(dataset, 0, camera_json="[]"), SMALL, task, None, "expected a camera in camera_json"),
        (changed(dataset, 0, camera_json="{"), SMALL, task, None, "expected a camera in camera_json"),
        (changed(dataset, 0, camera_json=json.dumps(camera | {"fx": 0})), SMALL, task, None, "expected a camera"),
        (changed(dataset, 0, camera_json=json.dumps(camera | {"T_base_camera": [0.0]})), SMALL, task, None, "a camera"),
    ):
        with pytest.raises(UserError, match=message) as error:
            list(read_prophet_episodes(found, config, asked, cell))
        assert "\n" not in str(error.value)


def test_episodes_are_drawn_by_the_seed(simulated):
    dataset, _ = simulated
    assert chosen_positions(dataset, None, 0) == [0, 1, 2, 3] == chosen_positions(dataset, 9, 0)
    drawn = {tuple(chosen_positions(dataset, 2, seed)) for seed in range(20)}
    assert len(drawn) > 2 and all(len(d) == 2 and d[0] < d[1] for d in drawn)
    longest = max(entry.length for entry in dataset.episodes)
    assert all(dataset.episodes[p].length == longest for p in chosen_positions(dataset, None, 0, at_least=longest))
    assert chosen_positions(dataset, None, 0, at_least=longest + 1) == []


@pytest.fixture
def encoded(monkeypatch):
    """Counts what is really encoded."""
    count = []

    def counting(episode, *rest):
        count.append(episode.name)
        return encode(episode, *rest)

    encode = clip_cache.encode_chain
    monkeypatch.setattr(clip_cache, "encode_chain", counting)
    return count


def test_clips_are_encoded_once_for_an_autoencoder_an_episode_and_a_camera(simulated, recorded, tmp_path, encoded):
    dataset, task = simulated
    torch.manual_seed(0)
    autoencoder, heard = VideoAutoencoder(SMALL.autoencoder).eval(), []

    def chains(found=dataset, asked=task, cell=None, config=SMALL, sha="aa", phases=2, positions=None):
        positions = range(len(found.episodes)) if positions is None else positions
        before = len(encoded)
        out = cached_chains(found, list(positions), asked, cell, config, autoencoder, sha, phases, tmp_path,
                            lambda done, total: heard.append((done, total)))  # fmt: skip
        return out, len(encoded) - before

    first, count = chains()
    assert count == 8 and heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    lengths = [(entry.length - 1 - start) // 8 for entry in dataset.episodes for start in (0, 4)]
    assert [len(chain) for chain in first] == [n for n in lengths if n]
    again, count = chains()
    assert count == 0
    for a, b in zip(first, again, strict=True):
        for field in dataclasses.fields(a):
            assert torch.equal(getattr(a, field.name).nan_to_num(9), getattr(b, field.name).nan_to_num(9)), field.name
    assert chains(positions=[1, 3], phases=1)[1] == 0 and chains(phases=4)[1] == 16, "all phases of what is incomplete"
    assert chains(sha="ab")[1] == 8, "another autoencoder"
    assert chains(config=dataclasses.replace(SMALL, state_objects=2))[1] == 8
    moved = json.loads(dataset.episodes[0].facts["camera_json"])
    moved["T_base_camera"][0] += 0.01
    assert chains(changed(dataset, 0, camera_json=json.dumps(moved)))[1] == 2, "that episode's camera is another"
    # A recorded dataset of the same folder name and episode numbers gets clips of its own, and new ones for a camera
    # that was calibrated again.
    assert recorded.folder.name == dataset.folder.name
    real = {"found": recorded, "asked": REAL_TASK}
    assert chains(**real, cell=REAL_CELL)[1] == 2 and chains(**real, cell=REAL_CELL)[1] == 0
    turned = se3.pose_to_rotvec(CELL.cameras[0].pose @ se3.pose_from_rotvec(np.array([0, 0, 0, 0, 0, 0.01])))
    camera = dataclasses.replace(REAL_CELL.cameras[0], T_base_camera=tuple(map(float, turned)))
    assert chains(**real, cell=dataclasses.replace(REAL_CELL, cameras=(camera,)))[1] == 2
    for phases in (0, 9):
        with pytest.raises(UserError, match="expected 1 to 8 phases"):
            chains(phases=phases)
    with pytest.raises(UserError, match="expected 5 rows a second"):
        chains(config=dataclasses.replace(SMALL, rate_hz=5.0))


def test_an_episode_shorter_than_a_chunk_is_remembered_as_such(recorded, tmp_path, encoded):
    config = dataclasses.replace(SMALL, chunk_steps=20)
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(config.autoencoder).eval()
    for expected in (1, 0):
        before = len(encoded)
        assert not cached_chains(recorded, [0], REAL_TASK, REAL_CELL, config, autoencoder, "aa", 1, tmp_path, print)
        assert len(encoded) - before == expected
