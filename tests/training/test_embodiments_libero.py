"""LIBERO's native HDF5: a file written as its own script writes them, and files that are not what they say."""

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from libero_file import MODEL, picture, write_libero, write_replayed  # noqa: E402
from prophrl_core import se3  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_training.embodiments.agreement import check_card  # noqa: E402
from prophrl_training.embodiments.card import load_card  # noqa: E402
from prophrl_training.embodiments.libero_hdf5 import CARD, LiberoFile  # noqa: E402
from prophrl_training.embodiments.mapping import map_episode  # noqa: E402


def test_numbers_words_and_upright_pictures_come_back(tmp_path):
    path = tmp_path / "KITCHEN_SCENE1_put_the_bowl_down_demo.hdf5"
    truth = write_libero(path, demos=11)
    with LiberoFile(path) as file:
        assert file.demos[:3] == ("demo_0", "demo_1", "demo_2") and file.demos[-1] == "demo_10"
        assert file.instruction == "put the bowl on the plate"
        assert file.environment["env_name"] == "Libero_Kitchen_Tabletop_Manipulation"
        assert file.task_definition == "put_the_bowl_on_the_plate.bddl"
        columns = file.columns("demo_10")
        np.testing.assert_array_equal(columns["actions"], truth[10]["actions"])
        assert file.cameras("demo_0") == ("obs/agentview_rgb", "obs/eye_in_hand_rgb")
        pictures = list(file.frames("demo_0", "obs/agentview_rgb"))
        assert len(pictures) == len(columns["actions"])
        assert pictures[3][:4].mean() > 200 and pictures[3][-4:].mean() < 20, "the sky belongs above"
        (chosen,) = file.frames("demo_0", "obs/agentview_rgb", np.array([3]))
        np.testing.assert_array_equal(chosen, pictures[3])
    mapped = map_episode(load_card(CARD), columns)
    np.testing.assert_allclose(mapped.after[:, :3, 3], truth[10]["obs/ee_pos"][1:], atol=1e-9)


def test_a_file_that_says_opencv_is_not_turned(tmp_path):
    path = tmp_path / "a_demo.hdf5"
    write_libero(path, convention="opencv")
    with LiberoFile(path) as file:
        assert next(file.frames("demo_0", "obs/agentview_rgb"))[:4].mean() < 20


def test_a_replayed_file_is_known_and_read_by_its_own_card(tmp_path):
    path = tmp_path / "put_the_bowl_down_demo.hdf5"
    truth = write_replayed(path)
    with LiberoFile(path) as file:
        assert file.card == "libero_hdf5_no_noops" and file.instruction == "put the bowl down"
        (shown,) = file.frames("demo_0", "obs/agentview_rgb", np.array([3]))
        np.testing.assert_array_equal(shown, picture(3)[::-1])
        (found,) = check_card(load_card(file.card), [file.columns("demo_0")])
        assert found.translation > 0.999 and found.gain == pytest.approx(0.3) and found.lag == 0
        mapped = map_episode(load_card(file.card), file.columns("demo_0"))
    np.testing.assert_allclose(mapped.pose[:, :3, 3], truth["obs/ee_pos"][:-1], atol=1e-9)


def test_the_camera_of_the_model_looks_where_mujoco_says(tmp_path):
    """A camera 1 m above the origin with MuJoCo's identity orientation looks straight down, y up in the picture."""
    path = tmp_path / "a_demo.hdf5"
    write_libero(path)
    with LiberoFile(path) as file:
        camera = file.camera("demo_0", "agentview", 128, 128)
        assert camera.model.fy == pytest.approx(64 / np.tan(np.radians(22.5)))
        points = np.array([[0, 0, 0, 1], [0.1, 0, 0, 1], [0, 0.1, 0, 1.0]])
        seen = points @ se3.inverse(camera.T_world_camera).T
        pixels, depth = camera.model.project(seen[:, :3])
        np.testing.assert_allclose(depth, 1.0)
        np.testing.assert_allclose(pixels[0], [63.5, 63.5])
        assert pixels[1][0] > 70 and pixels[2][1] < 57
        assert file.camera("demo_0", "robot0_eye_in_hand", 128, 128).T_world_camera is None
        with pytest.raises(UserError, match="found: agentview, robot0_eye_in_hand"):
            file.camera("demo_0", "front", 128, 128)


def test_files_that_are_not_liberos_are_refused(tmp_path):
    text = tmp_path / "text.hdf5"
    text.write_text("hello")
    with pytest.raises(UserError, match="expected a whole HDF5 file"):
        LiberoFile(text)
    whole = tmp_path / "whole.hdf5"
    write_libero(whole)
    cut = tmp_path / "cut.hdf5"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UserError, match="whole HDF5 file"):
        LiberoFile(cut)
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(UserError, match="expected a group 'data'"):
        LiberoFile(other)


def damaged(tmp_path, damage):
    path = tmp_path / "damaged_demo.hdf5"
    write_libero(path)
    with h5py.File(path, "a") as file:
        damage(file["data/demo_0"])
    return LiberoFile(path)


def test_links_pickles_giants_and_uneven_columns_are_refused(tmp_path):
    secret = tmp_path / "secret.hdf5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.ones((40, 3))

    def link(demo):
        del demo["obs/ee_pos"]
        demo["obs/ee_pos"] = h5py.ExternalLink(str(secret), "/x")

    def elsewhere(demo):
        del demo["obs/ee_pos"]
        demo.create_dataset("obs/ee_pos", (40, 3), "f8", external=[(str(secret), 0, 960)])

    def objects(demo):
        del demo["obs/ee_pos"]
        demo.create_dataset("obs/ee_pos", (40,), h5py.string_dtype())

    def wide(demo):
        del demo["obs/ee_pos"]
        demo.create_dataset("obs/ee_pos", (40, 1 << 30), "f8", chunks=(1, 1 << 10))

    def long(demo):
        del demo["obs/ee_pos"]
        demo.create_dataset("obs/ee_pos", (1 << 40, 3), "f8", chunks=(1 << 10, 3))

    def short(demo):
        values = demo["actions"][:-4]
        del demo["actions"]
        demo["actions"] = values

    for damage, message in (
        (link, "got a link; refused"), (elsewhere, "got other files; refused"), (objects, "rows of numbers"),
        (wide, "refused"), (long, "refused"), (short, "columns of one length"),
    ):  # fmt: skip
        with damaged(tmp_path, damage) as file, pytest.raises(UserError, match=message):
            file.columns("demo_0")


def test_a_model_with_entities_is_refused(tmp_path):
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + MODEL.replace("agentview", "&b;")

    def damage(demo):
        demo.attrs["model_file"] = bomb

    with damaged(tmp_path, damage) as file, pytest.raises(UserError, match="plain MuJoCo XML"):
        file.camera("demo_0", "agentview", 128, 128)
