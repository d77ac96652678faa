"""Prophecies are scored as they deserve: perfect ones best, deaf ones as deaf, and the page shows them."""

import argparse
import base64
import csv
import dataclasses
import io
import json
import re
import types
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
import torch
from one_thread import one_thread  # noqa: F401
from prophrl_core import action, se3
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError
from prophrl_training import prophet_episodes, prophet_evaluation, prophet_pictures, prophet_scores
from prophrl_training.commands import eval_prophet
from prophrl_training.datasets import reader
from prophrl_training.prophet_clips import EpisodeLabels, ProphetEpisode
from prophrl_training.prophet_evaluation import evaluate, last_frame_copy, scored
from prophrl_training.prophet_report import shown_episodes
from prophrl_world_model import checkpoints, video_metrics
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import AutoencoderConfig, ProphetConfig
from prophrl_world_model.imagination import Imagined, View
from prophrl_world_model.prophet import Prophet

H, W, K = 64, 64, 8
CONFIG = ProphetConfig(
    "miniature", H, W, chunk_steps=K, heads=2, head_dim=24, layers=1, adaln_dim=16, text_dim=None, arms=1,
    padding_channel=False, memory_pools=(1, 2, 4), history_frames=6, frame_stream="tokens", frame_encoding="folded",
    autoencoder=AutoencoderConfig(
        base_dim=4, dim_mult=(1, 1, 2, 2), residual_blocks=1, channels=8, mean=(0.1,) * 8, std=(0.7,) * 8
    ),
)  # fmt: skip
START = se3.pose_from_rotvec(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))


def view(height=0.8):
    camera = CameraModel(W, H, 60.0, 60.0, 31.5, 31.5)
    return View(camera, se3.pose_from_rotvec(np.array([0.0, 0.0, height, np.pi, 0.0, 0.0])))


def texture(seed, size=(H, W)):
    noise = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.uint8(255 * (smooth - smooth.min()) / (smooth.max() - smooth.min()))


def world(poses_P44):
    """A table with a patch on it that is where the TCP is, 300 pixels a metre: (P, H, W, 3)."""
    patch = texture(1, (24, 24))
    frames = np.repeat(texture(0)[None] // 4 + 90, len(poses_P44), axis=0)
    for frame, pose in zip(frames, poses_P44, strict=True):
        u, v = np.clip(np.round(20 + 300 * pose[:2, 3]), 0, 40).astype(int)
        frame[v : v + 24, u : u + 24] = patch
    return frames


def episode(steps=20, seed=0, speed=0.007, outcome=None, **changes):
    """The patch runs in a direction of its own, which changes from chunk to chunk."""
    turn = np.random.default_rng(seed).uniform(0, 2 * np.pi) + np.repeat([0.0, 2.0, 4.0, 6.0], K)[:steps]
    actions = np.zeros((steps, 7))
    actions[:, 0], actions[:, 1], actions[:, 6] = speed * np.cos(turn), speed * np.sin(turn), 0.5
    after, openness = action.integrate(START, actions)
    poses = np.concatenate([START[None], after])
    made = ProphetEpisode(
        f"e{seed}", world(poses), poses, np.append(0.5, openness), actions, view(), 10.0,
        EpisodeLabels(("success", "failure")[seed % 2] if outcome is None else outcome),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


class Seer:
    """Imagines what will be; ``deaf`` to actions it imagines that nothing moves, ``noise`` depends on the seed."""

    chunk_steps = K

    def __init__(self, view, deaf=False, noise=0.0):
        self.deaf, self.noise, self.starts = deaf, noise, []

    def reset(self, frames, poses, openness, seeds):
        assert frames.dtype == np.uint8 and frames.shape == (len(seeds), H, W, 3) and openness.shape == (len(seeds),)
        self.frames, self.poses, self.rng = frames, poses, [np.random.default_rng(s) for s in seeds]

    def step(self, chunk_NK7):
        poses = np.stack([action.integrate(p, c)[0] for p, c in zip(self.poses, chunk_NK7, strict=True)])
        self.poses = poses[:, -1]
        frames = np.repeat(self.frames[:, None], K, axis=1) if self.deaf else np.stack([world(p) for p in poses])
        noise = np.stack([rng.normal(scale=self.noise, size=frames.shape[1:]) for rng in self.rng])
        return Imagined(np.clip(frames + noise, 0, 255).astype(np.uint8), None, poses, None)


def test_a_perfect_prophecy_has_the_best_figures_and_listens():
    episodes = [episode(20, 0), episode(24, 1), episode(9, 2)]
    seen = {}
    found = evaluate(Seer, episodes, seed=3, batch=8, watch=seen.__setitem__)
    copied = [scored(e, last_frame_copy(e, K)) for e in episodes]
    assert [len(s.values["psnr"]) for s in found.scores] == [16, 24, 8] == [len(seen[i]) - 1 for i in range(3)]
    for score, copy, listens in zip(found.scores, copied, found.sensitivity, strict=True):
        assert (score.values["psnr"] == 100).all() and (score.values["epe"] == 0).all()
        np.testing.assert_allclose(score.values["ssim"], 1)
        moving = np.isfinite(score.values["cos"])
        assert moving.any()
        np.testing.assert_allclose(score.values["cos"][moving], 1)
        assert copy.values["psnr"].mean() < 30 and copy.values["epe"].mean() > 0.2
        np.testing.assert_allclose(copy.values["cos"][moving], 0, atol=0.1)
        assert listens.own_epe == 0 < 0.2 < listens.shuffled_epe
        assert listens.seed_difference == 0 < 1 < listens.shuffled_difference
        assert listens.frozen_flow < 0.02 < 0.2 < listens.own_flow


def test_the_given_frame_is_not_scored_and_a_still_episode_is_copied_perfectly():
    still = episode(16, speed=0.0)
    score = scored(still, last_frame_copy(still, K))
    assert (score.values["psnr"] == 100).all() and (score.values["epe"] < 1e-6).all()
    assert np.isnan(prophet_scores.over_time(score.values["cos"])) and prophet_scores.means([score], "cos", 0).n == 0
    wrong = np.concatenate([still.frames_FHW3[:1], 255 - still.frames_FHW3[1:17]])
    assert scored(still, wrong).values["psnr"].max() < 20


def test_a_deaf_prophet_is_told_from_one_that_listens_noise_or_not():
    episodes = [episode(16, s) for s in range(4)]
    deaf = evaluate(lambda v: Seer(v, deaf=True), episodes, 0)
    assert all(s.shuffled_difference == 0 and s.own_flow < 0.02 for s in deaf.sensitivity)
    assert all(s.shuffled_epe == s.own_epe for s in deaf.sensitivity)
    noisy = evaluate(lambda v: Seer(v, noise=4.0), episodes, 0)
    assert all(s.shuffled_difference > s.seed_difference > 1 for s in noisy.sensitivity)
    names = {f.name: f for f in prophet_scores.figures({"prophet": noisy, "deaf": deaf}, deaf.scores, [], K, 0)}
    assert names["prophet.psnr"].value > names["prophet.against.deaf.psnr"].value
    assert names["prophet.against.deaf.epe.difference"].high < 0, "ours errs less, surely"
    shuffled = names["prophet.sensitivity.shuffled_epe"]
    assert shuffled.low > shuffled.against["value"] and shuffled.against["name"] == "own actions"


def test_actions_come_from_another_episode_and_a_lone_one_has_none():
    for count in (2, 3, 10):
        others = prophet_evaluation.donors(count, 1)
        assert sorted(others) == list(range(count)) and (others != np.arange(count)).all()
    alone = evaluate(Seer, [episode(8)], 0)
    assert np.isnan(alone.sensitivity[0].shuffled_epe) and alone.sensitivity[0].frozen_flow < 0.02
    figures = prophet_scores.figures({"prophet": alone}, alone.scores, alone.scores, K, 0)
    assert "prophet.sensitivity.shuffled_epe" not in {f.name for f in figures}
    json.dumps([dataclasses.asdict(f) for f in figures], allow_nan=False)


def test_a_batch_has_one_view_and_its_neighbours_do_not_matter():
    episodes = [episode(8, 0), episode(16, 1), episode(8, 2, view=view(0.9)), episode(24, 3)]
    assert sorted(map(sorted, prophet_evaluation.batches(episodes, 2))) == [[0, 1], [2], [3]]
    single, together = (evaluate(lambda v: Seer(v, noise=4.0), episodes, 5, batch) for batch in (1, 16))
    for a, b in zip(single.scores, together.scores, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(a.values["psnr"], b.values["psnr"])
    assert single.sensitivity == together.sensitivity


def test_figures_agree_with_opencv_and_drift_with_hand_made_means():
    episodes = [episode(16, 0), episode(24, 1)]
    clips = {}
    found = evaluate(lambda v: Seer(v, noise=10.0), episodes, 0, watch=clips.__setitem__)
    figures = {f.name: f for f in prophet_scores.figures({"prophet": found}, found.scores, [], K, 0)}
    epe, psnr = [], []
    for i, e in enumerate(episodes):
        real, grey = e.frames_FHW3[: len(clips[i])], lambda f: cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)
        u, v = (
            [cv2.calcOpticalFlowFarneback(grey(a), grey(b), None, 0.5, 3, 15, 3, 5, 1.2, 0)
             for a, b in pairwise(clip)] for clip in (real, clips[i])
        )  # fmt: skip
        epe.append([np.hypot(*np.moveaxis(a.astype(float) - b, -1, 0)).mean() for a, b in zip(u, v, strict=True)])
        psnr.append([cv2.PSNR(a, b) for a, b in zip(real[1:], clips[i][1:], strict=True)])
    assert figures["prophet.epe"].value == pytest.approx(np.mean([np.mean(x) for x in epe]), rel=1e-5)
    assert figures["prophet.psnr"].value == pytest.approx(np.mean([np.mean(x) for x in psnr]), rel=1e-6)
    assert figures["prophet.psnr.horizon"].value == pytest.approx((psnr[0][-1] + psnr[1][-1]) / 2, rel=1e-6)
    second, third = figures["prophet.psnr.chunk_2"], figures["prophet.psnr.chunk_3"]
    assert second.value == pytest.approx((np.mean(psnr[0][8:]) + np.mean(psnr[1][8:16])) / 2, rel=1e-6)
    assert (second.n, third.n, third.low) == (2, 1, None)
    assert third.value == pytest.approx(np.mean(psnr[1][16:]), rel=1e-6)
    assert figures["prophet.psnr.failure"].value == pytest.approx(np.mean(psnr[1]), rel=1e-6)
    assert figures["prophet.psnr"].low < figures["prophet.psnr"].value < figures["prophet.psnr"].high


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(UserError, match="e4: expected at least a chunk of 8 steps, got 7"):
        prophet_evaluation.check_episodes([episode(8, 3), episode(7, 4)], CONFIG)
    with pytest.raises(UserError, match="e4: expected rate"):
        prophet_evaluation.check_episodes([episode(8, 4, rate_hz=5.0)], CONFIG)
    with pytest.raises(UserError, match="at least one episode"):
        prophet_evaluation.check_episodes([], CONFIG)
    with pytest.raises(UserError, match="--against plain: expected chunk_steps 8"):
        prophet_evaluation.check_comparable(CONFIG, dataclasses.replace(CONFIG, chunk_steps=12), "plain")
    for words in (["plain"], ["a b=x"], ["prophet=x"], ["a=x", "a=y"], ["a="]):
        with pytest.raises(UserError, match="NAME=FOLDER"):
            eval_prophet.rivals(words)


def test_panels_show_what_they_say():
    made = episode(16, 0)
    prophecy = made.frames_FHW3[:17].copy()
    shown = prophet_pictures.side_by_side(made, prophecy)
    assert shown.shape == (17, 256 + prophet_pictures.CAPTION, 4 * 256, 3) and shown.dtype == np.uint8
    real, imagined, flow, followed = np.split(shown[:, prophet_pictures.CAPTION :], 4, axis=2)
    np.testing.assert_array_equal(real, imagined)
    np.testing.assert_array_equal(real[:, ::4, ::4], prophecy)
    assert (flow[0, :200] == 255).all() and (flow[5, :200] != 255).any()
    changed = (followed != imagined).any(axis=(0, 3))
    assert 0.005 < changed.mean() < 0.5
    wheel = prophet_pictures.flow_colours(np.array([[[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, 0.0]]]), 3.0)[0]
    assert wheel.tolist() == [[255, 0, 0], [127, 255, 0], [0, 255, 255], [255, 255, 255]]


def test_films_show_every_outcome():
    episodes = [episode(8, s, outcome=o) for s, o in enumerate(["success"] * 4 + ["failure"])]
    assert sorted(shown_episodes(episodes, 3)) == [0, 1, 4] and shown_episodes(episodes, 9) == [0, 4, 1, 2, 3]


def decoded(data):
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_command_writes_figures_page_videos_and_frames(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    for name, config in (("ours", CONFIG), ("plain", dataclasses.replace(CONFIG, frame_stream="none"))):
        checkpoints.save(tmp_path / name, Prophet(config), VideoAutoencoder(config.autoencoder), {})
    asked = []

    def read(dataset, config, task, cell, positions):
        asked.append((dataset, config, task.name, cell, positions))
        return [episode(16, 0, name="<b>first"), episode(17, 1), episode(8, 2, view=view(0.9))]

    entries = [types.SimpleNamespace(length=length) for length in (17, 18, 8, 9)]
    monkeypatch.setattr(reader, "open_dataset", lambda folder: types.SimpleNamespace(folder=folder, episodes=entries))
    monkeypatch.setattr(prophet_episodes, "read_prophet_episodes", read)
    parser = argparse.ArgumentParser()
    eval_prophet.add_arguments(parser)
    words = f"--weights {tmp_path}/ours --against plain={tmp_path}/plain --episodes {tmp_path}/set --n 3 --seed 2"
    args = parser.parse_args(
        [*words.split(), "--videos", "2", "--out", f"{tmp_path}/o", "--json", f"{tmp_path}/f.json"]
    )
    assert eval_prophet.run(args) == 0
    ((dataset, *others),) = asked
    assert dataset.folder == tmp_path / "set" and others == [CONFIG, "grasp_bottle", None, [0, 1, 3]]

    figures = {f["name"]: f for f in json.loads((tmp_path / "f.json").read_text())["figures"]}
    for metric in ("psnr", "ssim", "epe", "cos"):
        assert figures[f"prophet.{metric}"]["against"]["name"] == "last-frame copy"
        assert {f"prophet.{metric}{tail}" for tail in (".chunk_1", ".chunk_2", ".ceiling")} <= set(figures)
        assert f"prophet.against.plain.{metric}.difference" in figures
    assert {"prophet.psnr.horizon", "prophet.psnr.success", "prophet.psnr.failure"} <= set(figures)
    assert {f"prophet.sensitivity.{n}" for n in ("shuffled_epe", "shuffled_difference", "frozen_flow")} <= set(figures)
    assert figures["prophet.psnr"]["n"] == 3 and figures["prophet.psnr"]["seed"] == 2
    assert figures["prophet.psnr"]["low"] <= figures["prophet.psnr"]["value"] <= figures["prophet.psnr"]["high"]
    assert "last-frame copy" in capsys.readouterr().out

    rows = list(csv.DictReader((tmp_path / "o" / "frames.csv").open()))
    assert len(rows) == 4 * (16 + 16 + 8) and {r["what"] for r in rows} == {
        "prophet", "plain", "last-frame copy", "autoencoder"
    }  # fmt: skip
    page = (tmp_path / "o" / "report.html").read_text()
    assert "http" not in page and "<b>first" not in page and "&lt;b&gt;first" in page
    videos = [base64.b64decode(v) for v in re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)]
    files = sorted((tmp_path / "o" / "videos").glob("*.mp4"))
    seen = cv2.imread(str(tmp_path / "o" / "strip.jpg"))
    assert seen.shape == (2 * 2 * 128 + 6, 9 * 128, 3) and seen[:128].std() > 5 and seen[128:256].std() > 5
    assert np.abs(seen[:128, :128].astype(int) - seen[128:256, :128]).mean() < 3, "both rows begin with the given frame"
    assert len(videos) == 2 == page.count('poster="data:image/jpeg') and videos == [f.read_bytes() for f in files]
    for video, file in zip(videos, files, strict=True):
        frames = decoded(video)
        assert len(frames) == 17 and frames[0].shape == (256 + prophet_pictures.CAPTION, 4 * 256, 3)
        assert all(panel.std() > 5 for panel in np.split(frames[-1], 4, axis=1)), "no panel is blank"
        poster = cv2.cvtColor(cv2.imread(str(file.with_suffix(".jpg"))), cv2.COLOR_BGR2RGB)
        assert np.abs(poster.astype(int) - frames[-1]).mean() < 12


def test_the_ceiling_is_the_real_clip_through_the_autoencoder():
    torch.manual_seed(0)
    autoencoder, made = VideoAutoencoder(CONFIG.autoencoder).eval(), episode(17)
    clip = prophet_evaluation.reconstruction(made, K, autoencoder)
    assert clip.shape == (17, H, W, 3) and (clip[0] == made.frames_FHW3[0]).all()
    with torch.no_grad():
        second = autoencoder.decode(autoencoder.encode(torch.from_numpy(made.frames_FHW3[None, 8:17])))[0, 1:]
    np.testing.assert_array_equal(clip[9:], second.numpy())
    assert video_metrics.psnr(made.frames_FHW3[:17], clip)[1:].max() < 100
