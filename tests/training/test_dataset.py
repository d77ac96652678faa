"""Demonstration files, chunk targets, augmentation and seed ranges."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mujoco")

from prophrl_core import se3  # noqa: E402
from prophrl_core.cell import CameraSpec  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.policy_image import crop_and_resize  # noqa: E402
from prophrl_core.task import PolicyImage  # noqa: E402
from prophrl_policy.normalisation import Statistics  # noqa: E402
from prophrl_training.dataset import (  # noqa: E402
    AugmentationConfig,
    ChunkDataset,
    augment,
    chunk_targets,
    gripper_points,
    places_in_image,
)
from prophrl_training.demonstrations import Demonstrations  # noqa: E402
from prophrl_training.seeds import BLOCK, scene_seeds  # noqa: E402

CAMERA = CameraSpec("front", "injected", (1.02, 0.0, 0.82, -1.88683, -1.88683, 0.57129))
IMAGE = PolicyImage()


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
    dataset = ChunkDataset(data, Statistics.measure(data.actions_ND, data.proprio_NP), 4, CAMERA, IMAGE)
    config = AugmentationConfig()
    again = ChunkDataset(data, Statistics.measure(data.actions_ND, data.proprio_NP), 4, CAMERA, IMAGE)
    again.batch(5, 0, 0, config)
    one, same, other = dataset.batch(5, 1, 7, config), again.batch(5, 1, 7, config), dataset.batch(5, 1, 8, config)
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_augmentation_moves_pixels_and_keeps_the_rest():
    image = np.full((1, 16, 16, 3), 100, np.uint8)
    image[0, 8, 8] = 255
    nothing = AugmentationConfig(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(augment(image, nothing, rng)[0], image)
    moved_to = set()
    for _ in range(60):
        moved, shift = augment(image, AugmentationConfig(2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), rng)
        (bright,) = np.argwhere(moved[0, ..., 0] == 255)
        np.testing.assert_array_equal(bright[::-1] - 8, shift[0])
        moved_to.add(tuple(bright))
    assert len(moved_to) > 10
    changed, _ = augment(np.repeat(image, 50, 0), AugmentationConfig(), rng)
    assert changed.dtype == np.uint8 and 50 < changed.mean() < 160
    assert changed.mean((1, 2, 3)).std() > 5


def test_gripper_points_are_where_it_first_closed_and_last_opened():
    data = demonstrations()
    openness = [1, 1, 0, 0, 1, 1, 1, 1, 1, 1]
    data.actions_ND[:, 6] = openness
    points = gripper_points(data)
    np.testing.assert_array_equal(points[:6, 0], np.tile(data.proprio_NP[2, :3], (6, 1)))
    np.testing.assert_array_equal(points[:6, 1], np.tile(data.proprio_NP[4, :3], (6, 1)))
    assert np.isnan(points[6:]).all(), "the second episode never moves its gripper"


def test_places_in_image_are_where_the_pixel_is_drawn():
    """Paint a dot at the projection in the full frame; the policy's image shows it at the place named."""
    T, point = CAMERA.pose, np.array([0.55, 0.08, 0.1])
    pixel, _ = CAMERA.model.project((se3.inverse(T) @ np.append(point, 1))[:3])
    frame = np.zeros((480, 640, 3), np.uint8)
    u, v = np.rint(pixel).astype(int)
    frame[v - 3 : v + 4, u - 3 : u + 4] = 255
    small = crop_and_resize(frame, IMAGE).astype(float)[..., 0]
    rows, columns = np.indices(small.shape)
    seen = np.array([(columns * small).sum(), (rows * small).sum()]) / small.sum()
    place = places_in_image(point, CAMERA, IMAGE)
    np.testing.assert_allclose((place + 1) * 64 - 0.5, seen, atol=0.3)


@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(1, BLOCK), st.integers(1, BLOCK))
def test_scene_seeds_of_different_uses_never_meet(seed_a, seed_b, n_a, n_b):
    for a, b in itertools.combinations(("demonstrations", "validation", "development", "evaluation"), 2):
        assert not set(scene_seeds(a, seed_a, n_a)[:: max(1, n_a - 1)]) & set(scene_seeds(b, seed_b, n_b))
        assert scene_seeds(a, 9999, BLOCK).stop <= scene_seeds(b, 0, 1).start


def test_seed_ranges_refuse_to_overflow():
    for bad in ((-1, 10), (10_000, 10), (0, 0), (0, BLOCK + 1)):
        with pytest.raises(UserError):
            scene_seeds("evaluation", *bad)
