"""Demonstration files, chunk targets, augmentation and seed ranges."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mujoco")

from prophrl_core.errors import UserError  # noqa: E402
from prophrl_policy.normalisation import Statistics  # noqa: E402
from prophrl_training.dataset import AugmentationConfig, ChunkDataset, augment, chunk_targets  # noqa: E402
from prophrl_training.demonstrations import Demonstrations  # noqa: E402
from prophrl_training.seeds import BLOCK, scene_seeds  # noqa: E402


def demonstrations():
    rng = np.random.default_rng(0)
    return Demonstrations(
        rng.integers(0, 256, (10, 16, 16, 3), np.uint8),
        rng.normal(size=(10, 10)).astype(np.float32),
        rng.normal(size=(10, 7)).astype(np.float32),
        np.array([0, 6, 10]),
        np.array([3, 4]),
        {"task": "grasp_bottle", "instruction": "grasp the bottle", "spec_id": "x", "cell": "sim", "attempts": "2"},
    )


def test_demonstrations_survive_the_disk(tmp_path):
    path = tmp_path / "demos.npz"
    demonstrations().save(path)
    loaded = Demonstrations.load(path)
    assert loaded.facts == demonstrations().facts and loaded.episodes == 2
    for name in ("images_NSSC", "proprio_NP", "actions_ND", "starts_E1", "scene_seeds_E"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(demonstrations(), name))


def test_pickles_and_other_files_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, facts=np.array([{"a": 1}], dtype=object), **{n: np.zeros(1) for n in (
        "images_NSSC", "proprio_NP", "actions_ND", "starts_E1", "scene_seeds_E")})
    with pytest.raises(UserError, match="expected a demonstration file"):
        Demonstrations.load(path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError):
        Demonstrations.load(tmp_path / "text.npz")


def test_chunk_targets_stay_inside_their_episode_and_end_in_rest():
    data = demonstrations()
    chunks = chunk_targets(data.actions_ND, data.starts_E1, 4)
    np.testing.assert_array_equal(chunks[0], data.actions_ND[:4])
    np.testing.assert_array_equal(chunks[4, :2], data.actions_ND[4:6])
    assert (chunks[4, 2:, :6] == 0).all()
    np.testing.assert_array_equal(chunks[4, 2:, 6], data.actions_ND[5, 6])
    np.testing.assert_array_equal(chunks[9, 1:, 6], np.full(3, data.actions_ND[9, 6]))


def test_batches_depend_on_seed_and_step_alone():
    data = demonstrations()
    dataset = ChunkDataset(data, Statistics.measure(data.actions_ND, data.proprio_NP), 4)
    config = AugmentationConfig()
    again = ChunkDataset(data, Statistics.measure(data.actions_ND, data.proprio_NP), 4)
    again.batch(5, 0, 0, config)
    one, same, other = dataset.batch(5, 1, 7, config), again.batch(5, 1, 7, config), dataset.batch(5, 1, 8, config)
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_augmentation_moves_pixels_and_keeps_the_rest():
    image = np.full((1, 16, 16, 3), 100, np.uint8)
    image[0, 8, 8] = 255
    nothing = AugmentationConfig(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(augment(image, nothing, rng), image)
    places = set()
    for _ in range(60):
        moved = augment(image, AugmentationConfig(2, 0.0, 0.0, 0.0, 0.0, 0.0), rng)[0]
        bright = np.argwhere(moved[..., 0] == 255)
        assert len(bright) == 1 and (np.abs(bright[0] - 8) <= 2).all()
        places.add(tuple(bright[0]))
    assert len(places) > 10
    changed = augment(np.repeat(image, 50, 0), AugmentationConfig(), rng)
    assert changed.dtype == np.uint8 and 60 < changed.mean() < 140
    assert changed.mean((1, 2, 3)).std() > 5


@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(1, BLOCK), st.integers(1, BLOCK))
def test_scene_seeds_of_different_uses_never_meet(seed_a, seed_b, n_a, n_b):
    for a, b in itertools.combinations(("demonstrations", "validation", "development", "evaluation"), 2):
        assert not set(scene_seeds(a, seed_a, n_a)[:: max(1, n_a - 1)]) & set(scene_seeds(b, seed_b, n_b))
        assert scene_seeds(a, 9999, BLOCK).stop <= scene_seeds(b, 0, 1).start


def test_seed_ranges_refuse_to_overflow():
    for bad in ((-1, 10), (10_000, 10), (0, 0), (0, BLOCK + 1)):
        with pytest.raises(UserError):
            scene_seeds("evaluation", *bad)
