"""Episodes to a dataset: the rules row by row, what is refused, and the same bytes whatever happened on the way."""

import dataclasses
import hashlib
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from made_episodes import Recipe, joints_at, make_episode, openness_at, pose_at
from prophrl_cell.recorder.repair import repair_damaged
from prophrl_core import action
from prophrl_core.errors import UserError
from prophrl_training.commands import data_convert
from prophrl_training.datasets.convert import convert
from prophrl_training.datasets.reader import open_dataset
from prophrl_training.datasets.staging import ConversionRequest

FRONT = "observation.images.front"


def converted(root, out, **options):
    verdicts = convert(ConversionRequest((root,), out, **options), lambda *_: None)
    return {verdict.name: verdict for verdict in verdicts}


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def square_column(picture):
    """Where the bright square of a made picture is: its frame number modulo 14."""
    yellow = (picture[20:28, :, 0] > 180) & (picture[20:28, :, 2] < 80)
    return round((np.flatnonzero(yellow.mean(0) > 0.5).mean() - 3.5) / 4)


def commanded_openness(t):
    """What the last target at or before ``t`` said."""
    return openness_at(np.floor(t / 0.016) * 0.016)


def test_rows_follow_the_rules(tmp_path):
    make_episode(tmp_path / "in", "ep-0", Recipe(teleop_from=1.1))
    verdict = converted(tmp_path / "in", tmp_path / "out")["ep-0"]
    dataset = open_dataset(tmp_path / "out")
    rows = dataset.rows(0)
    times_T = 0.005 + rows["timestamp"].astype(float)  # the camera is the last stream to begin
    assert (len(times_T), verdict.rows, dataset.fps) == (19, 19, 10.0)  # whole steps before the end at 2 s
    np.testing.assert_allclose(rows["observation.state"][:, :6], [joints_at(t) for t in times_T], atol=1e-5)
    poses_T44 = np.stack([pose_at(t) for t in times_T])
    wanted = action.proprioception(poses_T44, 0)[:, :9]
    np.testing.assert_allclose(rows["observation.state"][:, 6:15], wanted, atol=2e-5)
    np.testing.assert_allclose(rows["observation.proprio"][:, :9], wanted, atol=2e-5)
    np.testing.assert_array_equal(rows["observation.proprio"][:, 9], [commanded_openness(t) for t in times_T])
    reached_T44, openness_T = action.integrate(pose_at(times_T[0]), rows["action"])
    np.testing.assert_allclose(reached_T44, [pose_at(t + 0.1) for t in times_T], atol=5e-5)
    np.testing.assert_array_equal(openness_T, [commanded_openness(t + 0.1) for t in times_T])
    assert verdict.path_error < 1e-6
    np.testing.assert_allclose(rows["action.proposed"][2:-2, :6], 1.25 * rows["action"][2:-2, :6], atol=2e-4)
    assert np.isnan(rows["action.proposed"]).any(1).tolist() == [False] * 17 + [True] * 2
    assert rows["control"].tolist() == [0] * 11 + [1] * 6 + [-1] * 2
    assert rows["intervention"].tolist() == [False] * 11 + [True] * 6 + [False] * 2
    wanted = [int(np.argmin(np.abs(0.005 + np.arange(70) / 30 - t))) % 14 for t in times_T]
    assert [square_column(picture) for picture in dataset.frames(0, FRONT)] == wanted
    taken = 0.005 + np.array([int(np.argmin(np.abs(0.005 + np.arange(70) / 30 - t))) for t in times_T]) / 30
    np.testing.assert_allclose(rows["image_age"], np.abs(taken - times_T), atol=1e-5)
    facts = dataset.episodes[0].facts
    assert (facts["episode_id"], facts["outcome"], facts["seed"], facts["interventions"]) == ("ep-0", "success", 7, 1)
    assert dataset.info["prophrl"]["action_spec"]["rate_hz"] == 10.0


def test_no_row_shows_the_scene_from_before_the_trial(tmp_path):
    """The first grid time is 5 ms after the start; the picture taken 28 ms before it is nearer than a gap allows."""
    make_episode(tmp_path / "in", "ep-0", Recipe(pictures_before=2, picture_gap=(0.0, 0.04)))
    converted(tmp_path / "in", tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    (picture,) = dataset.window(0, [0])[FRONT]
    assert square_column(picture) == 2, "the first picture of the trial, not one from before it"


def test_a_few_late_pictures_are_named(tmp_path):
    make_episode(tmp_path / "in", "ep-0", Recipe(picture_gap=(0.5, 0.72)))
    verdict = converted(tmp_path / "in", tmp_path / "out")["ep-0"]
    assert verdict.verdict == "converted" and verdict.reason.startswith("1 of 19 rows have a picture up to 0.13 s off")
    dataset = open_dataset(tmp_path / "out")
    assert np.flatnonzero(dataset.rows(0)["image_age"] > 0.1).tolist() == [6]
    assert dataset.episodes[0].facts["late_rows"] == 1


BAD = {
    "camera": (Recipe(cameras=("wrist",)), "camera 'front' is missing"),
    "spec": (Recipe(meta={"spec_id": "0123456789abcdef"}), "its actions follow spec 0123456789abcdef"),
    "task": (Recipe(meta={"task": "place_cube"}), "recorded for task 'place_cube'"),
    "clock": (Recipe(clock_step=-0.4), "jumps back by"),
    "jump": (Recipe(clock_step=0.7), "differ by 0.70 s"),
    "actions": (Recipe(wrong_actions=True), "executed actions are not the commanded motion"),
    "mixed": (Recipe(chunk_period=0.05), "it mixes rates: a chunk has steps of 0.05 s"),
    "dark": (Recipe(picture_gap=(0.3, 0.7)), "have no picture within 0.1 s"),
    "dead": (Recipe(picture_gap=(0.42, 9.0)), "camera 'front' ends 0.60 s before the trial does, allowed 0.5 s"),
    "late": (Recipe(picture_gap=(0.0, 0.6)), "camera 'front' begins 0.61 s after the trial does"),
    "short": (Recipe(seconds=0.15), "overlap for less than 2 steps"),
}


def test_bad_episodes_are_named_and_refused(tmp_path, capsys):
    root, out = tmp_path / "in", tmp_path / "out"
    make_episode(root, "good")
    make_episode(root, "gone-wrong", Recipe(outcome="aborted"))
    for name, (recipe, _) in BAD.items():
        make_episode(root, name, dataclasses.replace(recipe, seconds=min(recipe.seconds, 1.0)))
    truncated = make_episode(root, "truncated")
    bag = next(truncated.glob("*.mcap"))
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    make_episode(root, "unfinished").rename(root / "unfinished.partial")
    (root / "holiday-pictures").mkdir()
    arguments = [str(root), "--out", str(out), "--cameras", "front", "--task", "grasp_bottle"]
    assert run_command(arguments) == 1
    table = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for name, (_, words) in BAD.items():
        assert " refused " in table[name] and words in table[name]
    assert "data repair" in table["truncated"] and "data repair" in table["unfinished.partial"]
    assert "is it an episode folder?" in table["holiday-pictures"]
    assert "left out" in table["gone-wrong"] and "--outcomes" in table["gone-wrong"]
    assert [entry.facts["episode_id"] for entry in open_dataset(out).episodes] == ["good"]


def test_what_a_repair_could_not_save_is_no_success(tmp_path):
    """A success whose last second is gone would teach that the bottle need not be lifted."""
    for name, outcome, cut in (("held", "success", 0.5), ("broken", "fault", 0.5), ("whole", "success", 1.0)):
        folder = make_episode(tmp_path / "in", name, Recipe(seconds=3.0, outcome=outcome))
        bag = folder / f"{name}.mcap"
        if cut < 1.0:
            bag.write_bytes(bag.read_bytes()[: int(cut * bag.stat().st_size)])
            assert repair_damaged(folder).outcome == outcome
    found = converted(tmp_path / "in", tmp_path / "out", outcomes=("success", "fault"))
    assert {name: v.verdict for name, v in found.items()} == {
        "held": "refused", "broken": "converted", "whole": "converted",
    }  # fmt: skip
    assert re.match(r"/joint_states ends \d\.\d\d s before the trial does, allowed 0.5 s", found["held"].reason)


def run_command(arguments):
    import argparse

    parser = argparse.ArgumentParser()
    data_convert.add_arguments(parser)
    return data_convert.run(parser.parse_args(arguments))


def test_nothing_to_convert_is_status_2_and_leaves_nothing(tmp_path, capsys):
    make_episode(tmp_path / "in", "blind", Recipe(cameras=()))
    assert run_command([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert "no camera has recorded a picture" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_one_go_or_episode_by_episode_gives_the_same_bytes(tmp_path):
    root = tmp_path / "in"
    for i in range(2):
        make_episode(root, f"ep-{i}", Recipe(seed=i, seconds=0.7 + 0.3 * i, teleop_from=0.3 + i))
    converted(root, tmp_path / "at-once", workers=2)
    for i in range(2):
        verdicts = converted(root / f"ep-{i}", tmp_path / "added")
        assert verdicts[f"ep-{i}"].verdict == "converted"
    again = converted(root, tmp_path / "added")
    assert {verdict.verdict for verdict in again.values()} == {"present"}
    assert digests(tmp_path / "at-once") == digests(tmp_path / "added")


def test_a_dataset_takes_only_episodes_of_its_kind(tmp_path):
    make_episode(tmp_path / "a", "ep-0")
    make_episode(tmp_path / "b", "ep-1", Recipe(meta={"robot": "ur10e"}))
    out = tmp_path / "out"
    converted(tmp_path / "a", out)
    before = digests(out)
    assert "recorded on 'ur10e'" in converted(tmp_path / "b", out)["ep-1"].reason
    with pytest.raises(UserError, match="was converted with cameras"):
        converted(tmp_path / "b", out, cameras=("wrist",))
    assert digests(out) == before


CONVERT = """
import sys
from pathlib import Path
from prophrl_training.datasets.convert import convert
from prophrl_training.datasets.staging import ConversionRequest
request = ConversionRequest((Path(sys.argv[1]),), Path(sys.argv[2]))
convert(request, lambda done, total, verdict: print(done, flush=True))
"""


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path):
    root = tmp_path / "in"
    for i in range(3):
        make_episode(root, f"ep-{i}", Recipe(seed=i, seconds=0.6))
    converted(root / "ep-0", tmp_path / "whole")
    converted(root, tmp_path / "whole")
    out, rng = tmp_path / "killed", random.Random(5)
    converted(root / "ep-0", out)
    for lines in (1, 3, 3):
        process = subprocess.Popen([sys.executable, "-c", CONVERT, root, out], stdout=subprocess.PIPE)
        for _ in range(lines):
            process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            assert len(open_dataset(out).episodes) in (1, 3)
    converted(root, out)
    assert digests(out) == digests(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "killed", "whole"]
