"""prophrl data inspect on other people's datasets: LeRobot folders by their cards, LIBERO's HDF5."""

import json

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytest.importorskip("pyarrow")
pytest.importorskip("scipy")

from foreign_dataset import write_v21  # noqa: E402
from foreign_layouts import LAYOUTS, Truth  # noqa: E402
from libero_file import write_libero  # noqa: E402
from prophrl_bringup.cli import dispatch  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_training.embodiments.card import load_card  # noqa: E402


def write(folder, name, episodes, fps=None):
    card = load_card(name)
    cameras = tuple(key for key, size in card.match.features.items() if size == 0)
    return write_v21(
        folder, card.match.robot_types[0], fps or card.stored_rate_hz, episodes, card.match.elements, cameras
    )


def inspected(capsys, *words):
    status = dispatch(["data", "inspect", *map(str, words)])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("name", ["bridge_openx", "droid_lerobot", "agibot_world", "libero_openpi"])
def test_a_foreign_dataset_finds_its_card_and_is_inspected_in_our_terms(name, tmp_path, capsys):
    truths = [Truth(seed=s) for s in range(3)]
    both = (lambda t: (t, t)) if name == "agibot_world" else (lambda t: (t,))
    folder = write(tmp_path / "data", name, [LAYOUTS[name](*both(t)) for t in truths])
    status, output = inspected(capsys, folder, "--json", tmp_path / "f.json", "--no-pictures")
    assert status == 0 and f"card: {name}: " in output and "3 episodes, 0 refused" in output, output
    content = json.loads((tmp_path / "f.json").read_text())
    figures = {f["name"]: f["value"] for f in content["figures"]}
    paths = [np.linalg.norm(np.diff(t.poses[:, :3, 3], axis=0), axis=1)[:-1].sum() for t in truths]
    assert figures["data.path.p50"] == pytest.approx(np.median(paths), abs=0.02)
    assert figures["data.duration.p50"] == pytest.approx(60 / load_card(name).rate_hz)
    assert figures["data.mismatch.rms.p50"] < 5, "mm"


def test_pictures_of_a_foreign_dataset_come_into_the_page_upright(tmp_path, capsys):
    folder = write(tmp_path / "libero", "libero_openpi", [LAYOUTS["libero_openpi"](Truth(seed=s)) for s in range(2)])
    status, output = inspected(capsys, folder, "--html", tmp_path / "page.html")
    assert status == 0 and "image 60" in output and "wrist_image 60" in output, output
    page = (tmp_path / "page.html").read_text()
    assert "LIBERO, the openpi port" in page and page.count("data:video/mp4") == 4 and "gain 0.80" in page


def test_a_card_that_contradicts_the_data_is_refused_with_numbers(tmp_path):
    episodes = [LAYOUTS["libero_openx"](Truth(seed=s)) for s in range(3)]
    for columns in episodes:
        columns["action"][:, 6] = 1 - columns["action"][:, 6]
    folder = write(tmp_path / "data", "libero_openx", episodes)
    with pytest.raises(UserError, match=r"card libero_openx does not fit this dataset: .*gripper correlates -1.00"):
        dispatch(["data", "inspect", str(folder)])


def test_one_wrong_episode_among_good_ones_is_refused_by_itself(tmp_path, capsys):
    episodes = [LAYOUTS["droid_lerobot"](Truth(seed=s)) for s in range(5)]
    episodes[1]["action.gripper_position"] = 1 - episodes[1]["action.gripper_position"]
    episodes[2]["action.cartesian_position"][:, :3] += 0.2
    episodes[3]["observation.state.cartesian_position"][7, 1] = np.nan
    folder = write(tmp_path / "data", "droid_lerobot", episodes)
    _finite_statistics(folder)
    status, output = inspected(capsys, folder, "--no-pictures")
    assert status == 1 and "5 episodes, 2 refused" in output
    refused = {line.split(":")[0]: line for line in output.splitlines() if ": refused: " in line}
    assert set(refused) == {"episode 2", "episode 3"}
    assert "episode 1: arm: gripper correlates -1.00" in output
    assert "miss the measured TCP" in refused["episode 2"] and "not finite in row 7" in refused["episode 3"]


def _finite_statistics(folder):
    """As a dataset has them whose author left out what is not finite."""
    path = folder / "meta/episodes_stats.jsonl"
    path.write_text(path.read_text().replace("NaN", "0.0"))


def test_an_unknown_robot_needs_a_card_by_name(tmp_path, capsys):
    columns = [LAYOUTS["fractal_openx"](Truth(seed=s)) for s in range(2)]
    folder = write_v21(tmp_path / "own_robot", "myrobot", 3, columns)
    with pytest.raises(UserError, match="fits none of the cards"):
        dispatch(["data", "inspect", str(folder)])
    status, output = inspected(capsys, folder, "--card", "fractal_openx")
    assert status == 0 and "card: fractal_openx" in output


def test_libero_demonstrations_are_inspected_and_a_damaged_one_is_named(tmp_path, capsys):
    path = tmp_path / "put_the_bowl_on_the_plate_demo.hdf5"
    write_libero(path, demos=4)
    status, output = inspected(capsys, path)
    assert status == 0 and "instruction: put the bowl on the plate" in output, output
    assert "4 episodes, 0 refused" in output and "agentview 40 (20/s)" in output
    with h5py.File(path, "a") as file:
        frames = file["data/demo_1/obs/agentview_rgb"][:-5]
        del file["data/demo_1/obs/agentview_rgb"], file["data/demo_2/obs/eye_in_hand_rgb"]
        file["data/demo_1/obs/agentview_rgb"] = frames
        file["data/demo_3/actions"][5, 0] = np.inf
    status, output = inspected(capsys, path)
    assert status == 1 and "4 episodes, 3 refused" in output
    for name, why in (
        ("demo_1", "35 pictures, expected 40"),
        ("demo_2", "eye_in_hand is missing"),
        ("demo_3", "not finite in row 5"),
    ):
        assert any(line.startswith(f"{name}: refused: ") and why in line for line in output.splitlines()), output
