"""The judge on made-up clips: what it learns, how it resumes, what it is loaded from, how it is calibrated."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from one_thread import one_thread  # noqa: E402, F401
from prophrl_core.bundle import sha256_file  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_training.classifier_files import Calibration, load_classifier, save_classifier  # noqa: E402
from prophrl_training.classifier_training import ClassifierTrainer  # noqa: E402
from prophrl_training.judge import (  # noqa: E402
    Judge,
    JudgeConfig,
    probability,
    rollout_logits,
    score_rollout,
    window_ends,
    windows,
)
from prophrl_training.judge_calibration import calibrate, reliability  # noqa: E402
from prophrl_training.outcome_predictor import OutcomePredictor, PredictorConfig  # noqa: E402
from prophrl_training.picture_trunk import shrunk  # noqa: E402
from prophrl_training.train_judge import (  # noqa: E402
    LabelledClips,
    WindowAugmentation,
    augmented,
    by_kind,
    judge_figures,
    scored,
    train_judge,
)
from rising_square import QUICK, SMALL, clip, clips  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A judge that learned rising squares, calibrated on others."""
    held_out = clips(20, 100)
    return train_judge(clips(24), held_out, SMALL, QUICK, tmp_path_factory.mktemp("judge"), lambda row: None)


def test_it_learns_a_square_that_has_risen_and_says_when(trained):
    fresh = clips(30, 1000)
    found = scored(trained, fresh)
    assert (found.verdicts(trained.calibration) == found.success_N).mean() >= 0.9
    risen = clip(5000, True).frames_FSS3
    logits = trained(torch.from_numpy(windows(risen, np.array([4, 23]), SMALL)))
    assert logits[1] > logits[0], "before the square rises the goal has not been held"
    figures = {f.name: f for f in judge_figures(trained, by_kind(trained, fresh), 0)}
    assert figures["reward.real.recall"].n == 15 and figures["reward.real.accuracy"].n == 30
    bins = [f for name, f in figures.items() if "reliability" in name]
    assert sum(f.n for f in bins) == 30 and all(f.against["name"] == "predicted" for f in bins)


def test_windows_before_the_first_frame_repeat_it():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    config = dataclasses.replace(SMALL, frames=4, stride=3)
    found = windows(frames, np.array([0, 1, 5, 9]), config)
    assert found.shape == (4, 4, 4, 4, 3)
    assert found[..., 0, 0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 2, 5], [0, 3, 6, 9]]


def test_a_rollout_scores_as_its_best_window(trained):
    rollouts = np.stack([c.frames_FSS3 for c in clips(3, 50)])
    ends = window_ends(24, 5)
    assert ends.tolist() == [5, 10, 15, 20, 23] and window_ends(1, 4).tolist() == [0]
    with torch.no_grad():
        each = [trained(torch.from_numpy(windows(r, ends, SMALL))).max() for r in rollouts]
    expected = probability(np.array(each), trained.calibration.temperature)
    np.testing.assert_allclose(score_rollout(trained, rollouts, 5), expected, rtol=1e-5)
    np.testing.assert_allclose(score_rollout(trained, rollouts[1], 5), expected[1:2], rtol=1e-5)
    assert score_rollout(trained, rollouts[:0], 5).shape == (0,)
    for wrong in (rollouts.astype(float), rollouts[0, 0], rollouts[..., :2]):
        with pytest.raises(UserError, match="expected uint8 frames"):
            score_rollout(trained, wrong, 5)
    with pytest.raises(UserError, match="every 1 step"):
        score_rollout(trained, rollouts, 0)
    with pytest.raises(UserError, match="expected windows"):
        trained(torch.zeros(1, 2, 32, 32, 3, dtype=torch.uint8))


def test_pictures_of_any_size_are_averaged_once():
    pictures = torch.randint(0, 256, (2, 3, 96, 64, 3), dtype=torch.uint8)
    small = shrunk(pictures, 32)
    assert small.shape == (2, 3, 32, 32, 3) and torch.equal(shrunk(small, 32), small)
    mean = pictures[0, 0, :3, :2].float().mean((0, 1))
    assert (small[0, 0, 0, 0].float() - mean).abs().max() <= 0.5


def test_the_shipped_sizes():
    models = Judge(JudgeConfig()), OutcomePredictor(PredictorConfig())
    count = [sum(p.numel() for p in model.parameters()) for model in models]
    assert 0.3e6 < count[0] < 0.6e6 and 0.2e6 < count[1] < 0.4e6


def test_batches_are_pure_balanced_and_labelled():
    mixed = clips(6) + clips(4, 60, imagined=True)
    source = LabelledClips(mixed, SMALL, WindowAugmentation())
    again = LabelledClips(mixed, SMALL, WindowAugmentation())
    again.batch(8, 0, 0)
    (one,), labels = source.batch(16, 1, 7)
    assert np.array_equal(one, again.batch(16, 1, 7)[0][0]) and source.digest == again.digest
    assert not np.array_equal(one, source.batch(16, 1, 8)[0][0]) and labels.tolist() == [True, False] * 8
    assert one.shape == (16, 3, 32, 32, 3) and one.dtype == np.uint8 and len(source) == 240
    assert source.digest != LabelledClips(mixed[1:], SMALL, WindowAugmentation()).digest
    nothing = WindowAugmentation(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(augmented(one, nothing, np.random.default_rng(0)), one)
    soft = augmented(one, dataclasses.replace(nothing, blur=2.0), np.random.default_rng(0))
    sharpness = [np.abs(np.diff(w.astype(int), axis=2)).mean((1, 2, 3, 4)) for w in (one, soft)]
    assert 0.2 < (sharpness[1] < 0.9 * sharpness[0]).mean() < 0.8, "about half of the windows are blurred"


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    config = dataclasses.replace(QUICK, steps=12, batch=8, checkpoint_every=5)
    data = LabelledClips(clips(6), SMALL, WindowAugmentation())

    def train(folder, stop=None, examples=data, run=config):
        class Killed(Exception):
            pass

        def report(row):
            if row["step"] == stop:
                raise Killed

        torch.manual_seed(0)
        trainer = ClassifierTrainer(Judge(SMALL), run, folder)
        try:
            trainer.run(examples, examples, report)
        except Killed:
            assert trainer.step == stop
        return trainer

    whole = train(tmp_path / "whole")
    train(tmp_path / "killed", stop=10)
    resumed = train(tmp_path / "killed")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average.weights[name], resumed.average.weights[name]), name
    other = LabelledClips(clips(6, 9), SMALL, WindowAugmentation())
    for change in ({"examples": other}, {"run": dataclasses.replace(config, learning_rate=1e-4)}):
        with pytest.raises(UserError, match="other settings or clips"):
            train(tmp_path / "killed", **change)


def test_a_judge_survives_the_disk_and_nothing_else_is_loaded(trained, tmp_path):
    save_classifier(tmp_path, trained, {"command": "made here"})
    loaded = load_classifier(tmp_path, Judge)
    assert loaded.config == SMALL and loaded.calibration == trained.calibration != Calibration()
    frames = clip(7, True).frames_FSS3
    np.testing.assert_array_equal(rollout_logits(loaded, frames, 4), rollout_logits(trained, frames, 4))
    manifest, weights = tmp_path / "judge.json", tmp_path / "judge.safetensors"
    good = json.loads(manifest.read_text())

    def refused(match, **changes):
        manifest.write_text(json.dumps(good | changes))
        with pytest.raises(UserError, match=match):
            load_classifier(tmp_path, Judge)

    refused("expected format", format="prophrl-prophet-1")
    refused("expected SHA-256", sha256="0" * 64)
    refused("differing in", config={**good["config"], "evil": 1})
    refused("differing in", calibration={"temperature": 1.0})
    refused("expected size from", config={**good["config"], "size": 1e9})
    refused("expected two to six widths", config={**good["config"], "widths": "abc"})
    refused("multiples of 8", config={**good["config"], "widths": [8, 12, 16]})
    for bad in ({"temperature": 0.0, "threshold": 0.5}, {"temperature": 1.0, "threshold": 2.0},
                {"temperature": float("nan"), "threshold": 0.5}, {"temperature": "1", "threshold": 0.5}):  # fmt: skip
        refused("temperature above 0", calibration=bad)
    for text in ("[]", "nonsense"):
        manifest.write_text(text)
        with pytest.raises(UserError, match="expected a JSON object"):
            load_classifier(tmp_path, Judge)
    state = load_file(weights)
    name = "head.3.weight"
    for match, change in (
        ("lacks", {k: v for k, v in state.items() if k != name}),
        ("has unknown", state | {"more": torch.zeros(1)}),
        ("other shapes", state | {name: torch.zeros(2, 2)}),
        ("finite", state | {name: torch.full_like(state[name], float("nan"))}),
        ("float32", state | {name: state[name].half()}),
    ):
        save_file(change, weights)
        refused(match, sha256=sha256_file(weights))
    weights.write_bytes(b"\x80\x04K\x01.")
    refused("safetensors", sha256=sha256_file(weights))
    with pytest.raises(UserError, match="expected a JSON object"):
        load_classifier(tmp_path, OutcomePredictor)


def test_calibration_keeps_the_recall_on_new_clips_and_finds_the_temperature():
    """Logits three times too sure of themselves; over many draws the recall on new successes is what was asked."""
    rng = np.random.default_rng(0)
    recalls, temperatures = [], []
    for _ in range(200):
        truth = rng.random(400) < 0.5
        honest = np.where(truth, 1.0, -1.0) * 2.0 + rng.normal(0, 2.0, 400)  # log odds of N(+-2, 2): itself
        found = calibrate(3 * honest[:200], truth[:200])
        passed = probability(3 * honest[200:], found.temperature) >= found.threshold
        recalls.append(passed[truth[200:]].mean())
        temperatures.append(found.temperature)
    assert 0.95 <= np.mean(recalls) < 0.97 and np.median(temperatures) == pytest.approx(3.0, rel=0.1)
    few = calibrate([3.0, 2.0, -1.0, -4.0], [True, True, False, False])
    assert (probability([2.0, -1.0], few.temperature) >= few.threshold).tolist() == [True, False]
    assert 0.1 < few.temperature < 10, "separated clips make no certainty"
    for logits, outcomes in (([1.0, 2.0], [True, True]), ([1.0], [False]), ([], [])):
        with pytest.raises(UserError, match="both outcomes"):
            calibrate(logits, outcomes)


def test_reliability_bins():
    bins = reliability(np.array([0.05, 0.07, 0.95, 1.0, 0.5]), np.array([False, True, True, True, False]))
    assert [(b.n, b.observed) for b in bins] == [(2, 0.5), (1, 0.0), (2, 1.0)]
    assert bins[0].predicted == pytest.approx(0.06) and bins[2].low < 1.0


def test_one_class_alone_is_refused():
    for outcome in (0, 1):
        with pytest.raises(UserError, match="judge: expected both outcomes"):
            LabelledClips(clips(6)[outcome::2] if outcome else [], SMALL, None)
