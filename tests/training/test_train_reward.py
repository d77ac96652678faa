"""Where the judge's clips come from, datasets and imagined files; and the command, whole and refusing."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.task import PolicyImage  # noqa: E402
from prophrl_training.classifier_files import load_classifier  # noqa: E402
from prophrl_training.commands import reward  # noqa: E402
from prophrl_training.datasets.reader import open_dataset  # noqa: E402
from prophrl_training.judge import Judge  # noqa: E402
from prophrl_training.labelled_clips import halves, held_out_episodes, read_episodes, read_imagined  # noqa: E402
from prophrl_training.outcome_predictor import OutcomePredictor  # noqa: E402
from prophrl_training.picture_trunk import shrunk  # noqa: E402
from rising_square import POSES, SMALL, clips, dataset  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

IMAGE = PolicyImage("front", (80, 0, 480, 480), 128)


def read(folder, image=IMAGE, size=32):
    opened = open_dataset(folder)
    try:
        return read_episodes(opened, list(range(len(opened.episodes))), image, size, lambda done, total: None)
    finally:
        opened.close()


def test_labels_come_from_the_truth_else_from_the_outcome(tmp_path):
    made = clips(4, size=64)
    for found, c in zip(read(dataset(tmp_path / "truth", made)), made, strict=True):
        np.testing.assert_array_equal(found.success_F, c.success_F)
        np.testing.assert_array_equal(found.proprio_FP, c.proprio_FP)
        assert found.frames_FSS3.shape == (24, 32, 32, 3) and len(found.labelled_L) == 24
        expected = shrunk(torch.from_numpy(c.frames_FSS3), 32).numpy()
        assert np.abs(found.frames_FSS3.astype(int) - expected).mean() < 6
    for found, c in zip(read(dataset(tmp_path / "outcome", made, truth=False)), made, strict=True):
        assert found.labelled_L.tolist() == [23] and found.success_F[-1] == c.succeeded == found.succeeded
        assert not found.success_F[:-1].any()


@pytest.mark.parametrize("how", [{"truth": False, "outcomes": False}, {"truth": False, "outcomes": "aborted"}])
def test_a_dataset_without_labels_is_refused(tmp_path, how):
    with pytest.raises(UserError, match=r"expected the column truth\.success or episodes whose outcome"):
        read(dataset(tmp_path / "d", clips(2, size=64), **how))


def test_other_columns_cameras_and_pictures_are_refused(tmp_path):
    made = clips(2, size=64)
    with pytest.raises(UserError, match="one bool a row, got int64"):
        read(dataset(tmp_path / "int", made, rows="int64"))
    good = dataset(tmp_path / "good", made)
    with pytest.raises(UserError, match=r"expected pictures observation\.images\.wrist"):
        read(good, dataclasses.replace(IMAGE, camera="wrist"))
    with pytest.raises(UserError, match="crops 480:240"):
        read(good, dataclasses.replace(IMAGE, crop=(80, 0, 480, 240)))


def test_whole_cells_are_held_out_where_there_are_many(tmp_path):
    many = open_dataset(dataset(tmp_path / "many", clips(20, size=64, steps=10), cells=10))
    training, held = held_out_episodes(many, 0.2, 0)
    cells = [{many.episodes[p].facts["cell"] for p in own} for own in (training, held)]
    assert len(training) == 16 and not cells[0] & cells[1] and held_out_episodes(many, 0.2, 0)[1] == held
    few = held_out_episodes(many, 0.2, 0, most=7)
    assert sum(map(len, few)) == 7 and len(few[1]) in (1, 2)


def test_imagined_files_are_read_strictly(tmp_path):
    path = tmp_path / "clips.safetensors"
    made = clips(3, size=64)
    frames = torch.from_numpy(np.stack([c.frames_FSS3 for c in made]))
    success = torch.from_numpy(np.stack([c.success_F for c in made]).astype(np.uint8))
    save_file({"frames": frames, "success": success}, path)
    found = read_imagined(path, 32)
    assert [c.succeeded for c in found] == [True, False, True] and all(c.imagined for c in found)
    np.testing.assert_array_equal(found[2].frames_FSS3, shrunk(frames[2], 32).numpy())
    for bad in (
        {"frames": frames}, {"frames": frames, "success": success, "x": success + 1},
        {"frames": frames.float(), "success": success}, {"frames": frames, "success": success[:, :-1].contiguous()},
        {"frames": frames, "success": success * 3}, {"frames": frames[0].contiguous(), "success": success},
        {"frames": frames, "success": success.long()}, {"frames": frames[:0], "success": success[:0]},
    ):  # fmt: skip
        save_file(bad, path)
        with pytest.raises(UserError, match="expected"):
            read_imagined(path, 32)
    for content in (b"", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(UserError, match="expected a safetensors file of clips"):
            read_imagined(path, 32)
    with pytest.raises(UserError, match="expected a safetensors file of clips"):
        read_imagined(tmp_path / "none", 32)


def arguments(tmp_path, *words):
    parser = argparse.ArgumentParser()
    reward.add_arguments(parser)
    return parser.parse_args([*words, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "figures.json")])


def test_the_command_writes_a_judge_a_baseline_and_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr("prophrl_training.judge.JudgeConfig", lambda: SMALL)
    monkeypatch.setattr("prophrl_training.outcome_predictor.PredictorConfig", lambda: POSES)
    folder = dataset(tmp_path / "d", clips(20, size=64), cells=10)
    made = clips(20, 400, imagined=True)
    frames = torch.from_numpy(np.stack([c.frames_FSS3 for c in made]))
    success = torch.from_numpy(np.stack([c.success_F for c in made]).astype(np.uint8))
    save_file({"frames": frames, "success": success}, tmp_path / "imagined.safetensors")
    words = ["--dataset", str(folder), "--imagined", str(tmp_path / "imagined.safetensors"), "--steps", "3"]
    assert reward.run(arguments(tmp_path, *words, "--baseline")) == 0
    assert load_classifier(tmp_path / "out", Judge).config == SMALL
    assert load_classifier(tmp_path / "out", OutcomePredictor).config == POSES
    names = {f["name"] for f in json.loads((tmp_path / "figures.json").read_text())["figures"]}
    assert {"reward.real.recall", "reward.imagined.recall", "reward.baseline.pair_accuracy"} <= names
    for name in ("report.html", "report.png", "curve.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    before = (tmp_path / "out/judge.safetensors").read_bytes()
    assert reward.run(arguments(tmp_path, *words)) == 0, "the same command again goes on, and has nothing to do"
    assert (tmp_path / "out/judge.safetensors").read_bytes() == before


def test_a_judge_and_a_baseline_go_on_from_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("prophrl_training.judge.JudgeConfig", lambda: SMALL)
    monkeypatch.setattr("prophrl_training.outcome_predictor.PredictorConfig", lambda: POSES)
    folder = str(dataset(tmp_path / "d", clips(20, size=64), cells=10))
    assert reward.run(arguments(tmp_path, "--dataset", folder, "--steps", "3", "--baseline")) == 0
    (tmp_path / "out").rename(tmp_path / "first")
    monkeypatch.setattr("prophrl_training.judge.JudgeConfig", lambda: pytest.fail("the earlier one's sizes count"))
    words = ("--dataset", folder, "--steps", "1", "--seed", "5", "--baseline", "--weights", str(tmp_path / "first"))
    assert reward.run(arguments(tmp_path, *words)) == 0
    for kind in (Judge, OutcomePredictor):
        first, later = (load_classifier(tmp_path / name, kind).state_dict() for name in ("first", "out"))
        moved = max(float((later[name].float() - value.float()).abs().max()) for name, value in first.items())
        assert 0 < moved < 0.01, "one step of the warm-up's rate"
    with pytest.raises(UserError, match="other settings or clips .first_weights"):
        reward.run(arguments(tmp_path, *words[:-2], "--weights", str(tmp_path / "out")))


def test_the_command_refuses_before_it_works(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="expected nothing there or a judge"):
        reward.run(arguments(tmp_path, "--dataset", str(tmp_path)))
    (tmp_path / "out/thesis.tex").unlink()
    with pytest.raises(UserError, match="expected --steps from 1"):
        reward.run(arguments(tmp_path, "--dataset", str(tmp_path), "--steps", "0"))
    with pytest.raises(UserError, match="expected a LeRobot dataset"):
        reward.run(arguments(tmp_path, "--dataset", str(tmp_path)))
    nameless = dataset(tmp_path / "nameless", clips(2, size=64), task="")
    with pytest.raises(UserError, match="give --task"):
        reward.run(arguments(tmp_path, "--dataset", str(nameless)))
    failures = dataset(tmp_path / "failures", clips(8, size=64)[1::2])
    with pytest.raises(UserError, match="judge: expected both outcomes, got 0 successes"):
        reward.run(arguments(tmp_path, "--dataset", str(failures)))


def test_held_out_clips_are_halved_by_kind():
    mixed = clips(8) + clips(4, 30, imagined=True)
    a, b = halves(mixed)
    assert len(a) == len(b) == 6 and not {c.name for c in a} & {c.name for c in b}
    assert [sum(c.succeeded and c.imagined for c in own) for own in (a, b)] == [1, 1]
