"""``train autoencoder`` and ``train prophet`` on a tiny dataset: they learn, go on after a kill, refuse in one line."""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from one_thread import one_thread  # noqa: E402, F401
from prophrl_bringup.cli import dispatch  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_training import adapt_prophet, progress, train_autoencoder  # noqa: E402
from prophrl_training.datasets.reader import open_dataset  # noqa: E402
from prophrl_training.progress import Progress  # noqa: E402
from prophrl_training.schedule import cosine_rate  # noqa: E402
from prophrl_training.train_autoencoder import AutoencoderTraining, ClipSource  # noqa: E402
from prophrl_world_model import checkpoints, config  # noqa: E402
from prophrl_world_model.autoencoder import VideoAutoencoder  # noqa: E402
from prophrl_world_model.config import PatchesConfig  # noqa: E402
from prophrl_world_model.training_losses import ReconstructionLossConfig  # noqa: E402
from prophrl_world_model.video_metrics import psnr  # noqa: E402
from simulated_dataset import SIZE, SMALL, simulate, small_task  # noqa: E402

FRONT = "observation.images.front"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    task = small_task(folder)
    return simulate(folder / "set", task, each=3), task


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folder that ``train autoencoder`` wrote, and what it said."""
    out = tmp_path_factory.mktemp("weights") / "autoencoder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config.CONFIGS, SMALL.name, SMALL)
        words = {"dataset": data[0], "config": SMALL.name, "steps": 40, "batch": 2, "clip": 5, "out": out,
                 "precision": "float32", "json": out.with_suffix(".json")}  # fmt: skip
        assert dispatch(["train", "autoencoder", *(f"--{k}={v}" for k, v in words.items())]) == 0
    return out


class Killed(Exception):
    pass


def test_the_rate_rises_and_falls():
    rates = [cosine_rate(step, 110, 2.0, 10, 0.1) for step in range(111)]
    assert rates[:2] == pytest.approx([0.2, 0.4]) and max(rates) == rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(2.0 * 0.55) and rates[110] == pytest.approx(0.2)
    assert cosine_rate(5, 5, 1.0, 5, 0.5) == 1.0, "no step after the warm-up"


def test_progress_means_what_it_has_not_said_yet(monkeypatch, capsys, tmp_path):
    clock = iter([100.0, 101.0, 103.0, 105.0, 112.0, 113.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    log = tmp_path / "run" / "loss.csv"
    said = Progress(9, every=10.0, log=log)  # a run that goes on after step 4
    for step, loss in ((5, 8.0), (6, 1.0), (7, 2.0), (8, 3.0), (9, 7.0)):
        said(step, loss)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["step 5/9: loss 8.0000, 1.00 s a step, 4 s left", "step 8/9: loss 2.0000, 3.00 s a step, 3 s left",
                     "step 9/9: loss 7.0000, 2.60 s a step, 0 s left"]  # fmt: skip
    assert [row[:2] for row in csv.reader(log.open())] == [["5", "8.000000"], ["8", "2.000000"], ["9", "7.000000"]]


def test_the_autoencoder_learns_and_its_latents_are_unit(data, trained):
    (figure,) = json.loads(trained.with_suffix(".json").read_text())["figures"]
    assert figure["name"] == "autoencoder.psnr" and figure["low"] < figure["value"] < figure["high"]
    model, autoencoder = checkpoints.load(trained)
    assert dataclasses.replace(model.prophet, autoencoder=SMALL.autoencoder) == SMALL
    dataset = open_dataset(data[0])
    source = ClipSource(dataset, FRONT, (SIZE, SIZE), list(range(6)))
    clips = torch.from_numpy(source.batch(9, 0, 16, 5))
    torch.manual_seed(0)
    with torch.no_grad():
        restored = {name: a.decode(a.encode(clips)).numpy()
                    for name, a in (("ours", autoencoder), ("start", VideoAutoencoder(SMALL.autoencoder)))}  # fmt: skip
        latents = autoencoder.encode(clips)
    ours, start = (np.mean([psnr(a, b).mean() for a, b in zip(clips.numpy(), r, strict=True)])
                   for r in restored.values())  # fmt: skip
    assert ours > start + 3, (ours, start)
    np.testing.assert_allclose(latents.mean((0, 2, 3, 4)), 0, atol=0.3)
    np.testing.assert_allclose(latents.std((0, 2, 3, 4)), 1, atol=0.3)
    assert (trained / "reconstructions.png").stat().st_size > 1000


def test_an_autoencoder_goes_on_with_the_same_losses(data, tmp_path):
    source = ClipSource(open_dataset(data[0]), FRONT, (SIZE, SIZE), [0, 1, 2])
    short = AutoencoderTraining(
        steps=6, batch=2, clip=5, warm_up=2, save_every=2, precision="bfloat16",
        loss=ReconstructionLossConfig(motion_weight=4.0),
    )  # fmt: skip

    def fresh(**changes):
        torch.manual_seed(0)
        return VideoAutoencoder(dataclasses.replace(SMALL.autoencoder, **changes))

    def run(folder, kill_after=None, config=short, **changes):
        losses = {}

        def progress(step, loss):
            losses[step] = loss
            if step == kill_after:
                raise Killed

        return train_autoencoder.train_autoencoder(fresh(**changes), source, config, folder, progress), losses

    whole, expected = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_after=5)
    again, rest = run(tmp_path / "killed")
    assert rest == {step: expected[step] for step in (5, 6)} and len(set(expected.values())) == 6
    assert whole.config == again.config
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())
    for changes in ({"config": dataclasses.replace(short, seed=1)}, {"base_dim": 12}):
        with pytest.raises(UserError, match="choose another folder"):
            run(tmp_path / "killed", **changes)


def test_patches_are_fitted_to_what_moves_in_a_dataset(data):
    source = ClipSource(open_dataset(data[0]), FRONT, (SIZE, SIZE), [0, 1, 2, 3])
    training = AutoencoderTraining(steps=8, batch=4, clip=5)
    fitted = train_autoencoder.fit_patches(PatchesConfig(channels=24), source, training)
    clips = torch.from_numpy(ClipSource(source.dataset, FRONT, (SIZE, SIZE), [4, 5]).batch(3, 0, 8, 5))
    restored = fitted.decode(fitted.encode(clips), clips[:, 0])
    error, copied = ((restored.float() - clips).square().mean(), (clips[:, :1].float() - clips).square().mean())
    assert error < 0.5 * copied, "24 of 768 numbers tell much of what moves in episodes that were not fitted"
    with pytest.raises(UserError, match=r"expected 384 patches that change, got \d+; add episodes in which the arm"):
        small = dataclasses.replace(training, steps=1, batch=1)
        train_autoencoder.fit_patches(PatchesConfig(channels=192), source, small)


def test_clips_come_from_episodes_that_are_long_enough(data):
    dataset = open_dataset(data[0])
    source = ClipSource(dataset, FRONT, (SIZE, SIZE), [1, 2])
    np.testing.assert_array_equal(source.batch(1, 2, 3, 5), source.batch(1, 2, 3, 5))
    assert not np.array_equal(source.batch(1, 2, 3, 5), source.batch(1, 3, 3, 5))
    assert source.batch(1, 2, 3, 5).shape == (3, 5, SIZE, SIZE, 3)
    with pytest.raises(UserError, match="expected episodes of 201 rows or more"):
        source.batch(1, 2, 3, 201)
    with pytest.raises(UserError, match="expected pictures of 64x64 or larger and of that shape, got 32x32"):
        ClipSource(dataset, FRONT, (64, 64), [1])
    with pytest.raises(UserError, match=r"observation\.images\.wrist, got observation\.images\.front"):
        ClipSource(dataset, "observation.images.wrist", (SIZE, SIZE), [1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clip=8"], "expected 5, 9, 13"),
        (["--steps=0"], "1 or more"),
        (["--config=prophet-huge"], "choose one of them"),
        (["--dataset=/nowhere"], "expected a LeRobot dataset"),
        (["--camera=wrist"], "images.wrist"),
        ([], "expected pictures of 64x64 or larger and of that shape, got 32x32"),
    ],
)
def test_an_autoencoder_that_cannot_be_trained_is_one_line(data, tmp_path, words, message):
    with pytest.raises(UserError, match=message) as error:
        dispatch(["train", "autoencoder", f"--dataset={data[0]}", f"--out={tmp_path / 'o'}", *words])
    assert "\n" not in str(error.value) and not (tmp_path / "o").exists()


@pytest.fixture
def prophet(data, trained, tmp_path, monkeypatch):
    """``train prophet`` of a few steps; returns its losses by step."""
    heard = {}

    class Recording(Progress):
        kill_after = None

        def __call__(self, step, loss):
            super().__call__(step, loss)
            heard[step] = loss
            if step == self.kill_after:
                raise Killed

    monkeypatch.setattr(progress, "Progress", Recording)
    often = functools.partial(adapt_prophet.ProphetTraining, save_every=2, warm_up=2, averaging=0.5)
    monkeypatch.setattr(adapt_prophet, "ProphetTraining", often)

    def run(out, *words, kill_after=None, **options):
        heard.clear()
        Recording.kill_after = kill_after
        options = {"dataset": data[0], "task": data[1], "weights": trained, "out": tmp_path / out, "steps": 4,
                   "batch": 2, "cache": tmp_path / "clips", "precision": "float32"} | options  # fmt: skip
        words = [*words, *(f"--{k}={v}" for k, v in options.items() if v is not None)]
        try:
            assert dispatch(["train", "prophet", *words]) == 0
        except Killed:
            pass
        return dict(heard)

    return run


def tensors(folder):
    model, autoencoder = checkpoints.load(folder)
    return model.state_dict() | {f"autoencoder.{k}": v for k, v in autoencoder.state_dict().items()}


def same(a, b):
    a, b = tensors(a), tensors(b)
    return {name for name in a if torch.equal(a[name], b[name])}, set(a)


@pytest.mark.parametrize("lora", [None, 2])
def test_a_killed_prophet_goes_on_and_the_autoencoder_stays(prophet, trained, tmp_path, lora):
    whole = prophet("whole", lora=lora)
    assert list(whole) == [1, 2, 3, 4] and len(set(whole.values())) == 4
    assert list(prophet("killed", lora=lora, kill_after=3)) == [1, 2, 3]
    assert not (tmp_path / "killed" / "prophet.json").exists()
    assert prophet("killed", lora=lora) == {step: whole[step] for step in (3, 4)}
    equal, every = same(tmp_path / "whole", tmp_path / "killed")
    assert equal == every
    kept, _ = same(tmp_path / "whole", trained)
    assert {name for name in every if name.startswith("autoencoder.")} <= kept
    assert "transformer_blocks.0.attn1.to_q.weight" not in kept
    assert ("patch_embed.proj.weight" in kept) == (lora is not None)
    rows = list(csv.reader((tmp_path / "whole" / "loss.csv").open()))
    assert [row[0] for row in rows] == ["1", "4"] and float(rows[0][1]) == pytest.approx(whole[1], abs=1e-5)
    manifest = json.loads((tmp_path / "whole" / "prophet.json").read_text())
    assert manifest["origin"] == {"datasets": "set", "episodes": "6", "seed": "0", "steps": "4", "from": "autoencoder"}
    for options in ({"steps": 6}, {"episodes": 2}, {"weights": tmp_path / "killed"}):
        with pytest.raises(UserError, match="choose another folder"):
            prophet("whole", **{"lora": lora} | options)


def test_a_sharpened_decoder_leaves_the_latents_as_they_are(data, trained):
    _, autoencoder = checkpoints.load(trained, torch.float32)
    dataset = open_dataset(data[0])
    source = ClipSource(dataset, "observation.images.front", (SIZE, SIZE), [0, 1])
    frames = torch.from_numpy(source.batch(3, 0, 4, 5))
    latents = autoencoder.encode(frames)
    before = (autoencoder.decode(latents).float() - frames).abs().mean()
    config = AutoencoderTraining(steps=60, batch=2, clip=5, learning_rate=1e-3, warm_up=5, decoder_only=True)
    sharpened = train_autoencoder.train_autoencoder(autoencoder, source, config, trained.parent / "sharpened", lambda *_: None)
    assert torch.equal(sharpened.encode(frames), latents)
    assert (sharpened.decode(latents).float() - frames).abs().mean() < 0.9 * before


def test_fewer_episodes_other_starts_and_two_datasets(prophet, data, tmp_path, capsys):
    prophet("first", steps=2)
    assert "6 episodes" in capsys.readouterr().out
    prophet("few", episodes=2, steps=2, phases=2)
    told = json.loads((tmp_path / "few" / "prophet.json").read_text())["origin"]
    assert told["episodes"] == "2" and "2 episodes" in capsys.readouterr().out
    # From scratch: the weights of --weights do not matter, its autoencoder does, and the seed decides.
    scratch = {"steps": 2, "weights": tmp_path / "first"}
    a, b = (prophet(name, "--from-scratch", **scratch) for name in ("a", "b"))
    assert a == b and a != prophet("c", **scratch)
    assert prophet("d", "--from-scratch", **scratch, seed=1) != a
    origin = json.loads((tmp_path / "a" / "prophet.json").read_text())["origin"]
    assert origin["from"] == "scratch"
    prophet("two", f"--dataset={data[0]}", steps=2)
    assert json.loads((tmp_path / "two" / "prophet.json").read_text())["origin"]["episodes"] == "12"


def test_states_are_learnt_and_noise_is_added_as_asked(prophet):
    plain = prophet("plain", steps=2, **{"state-weight": 0, "given-noise": 0, "motion-weight": 0})
    for name, value in (("state-weight", 1.0), ("given-noise", 0.5), ("motion-weight", 3.0)):
        options = {"state-weight": 0, "given-noise": 0, "motion-weight": 0} | {name: value}
        assert prophet(name, steps=2, **options)[1] != plain[1], name


def test_a_prophet_that_cannot_be_trained_is_one_line(prophet, tmp_path):
    slow = small_task(tmp_path, action={"rate_hz": 5.0})
    other = simulate(tmp_path / "slow", slow, cells=1, each=1)
    for options, message in (
        ({"weights": tmp_path / "none"}, "choose a folder of weights"),
        ({"dataset": tmp_path / "none"}, "expected a LeRobot dataset"),
        ({"dataset": other, "task": slow}, "expected 10 rows a second for small-enough, got 5"),
        ({"dataset": other}, "expected actions of spec"),
        ({"task": "place_cabbage"}, "place_cabbage"),
        ({"steps": 0}, "--steps: expected 1 or more"),
        ({"episodes": 0}, "--episodes: expected 1 or more"),
        ({"phases": 0}, "expected 1 to 8 phases"),
    ):
        with pytest.raises(UserError, match=message) as error:
            prophet("o", **options)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "o").exists()
