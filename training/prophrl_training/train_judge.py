"""Training the judge on labelled clips, real and imagined, and calibrating it on clips that it has not seen.

Dimensions: B batch, K frame of a window, S side of a small picture, W labelled window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from prophrl_core.figures import Figure

from prophrl_training.classifier_training import BalancedPicks, ClassifierTrainer, ClassifierTraining
from prophrl_training.judge import Judge, JudgeConfig, probability, rollout_logits, windows
from prophrl_training.judge_calibration import Scored, calibrate, reliability
from prophrl_training.labelled_clips import Clip, digest_of
from prophrl_training.ranking import agreement


@dataclasses.dataclass(frozen=True)
class WindowAugmentation:
    """Ranges of the random changes, the same for all frames of a window but the noise; imagined frames are soft."""

    shift: int = 3  # pixels, each axis, edge repeated
    brightness: float = 0.12  # share of full scale
    contrast: float = 0.25
    channel_gain: float = 0.1  # per colour channel
    blur: float = 1.5  # largest deviation of a Gaussian, pixels; half of the windows stay sharp
    noise: float = 0.02  # deviation, share of full scale


class LabelledClips:
    """Every labelled step of every clip ends a window: batches as pure functions of (seed, step)."""

    def __init__(self, clips: list[Clip], config: JudgeConfig, augmentation: WindowAugmentation | None) -> None:
        self._clips, self._config, self._augmentation = clips, config, augmentation
        labelled = [clip.labelled_L for clip in clips]
        self._clip_W = np.repeat(np.arange(len(clips)), [len(steps) for steps in labelled])
        self._step_W = np.concatenate([*labelled, np.zeros(0, int)]).astype(int)
        success = [clip.success_F[clip.labelled_L] for clip in clips]
        self._success_W = np.concatenate([*success, np.zeros(0, bool)]).astype(bool)
        imagined_W = np.array([clip.imagined for clip in clips], bool)[self._clip_W]
        self._picks = BalancedPicks(self._success_W, imagined_W, "judge")
        self.digest = f"{digest_of(clips)} {augmentation}"

    def __len__(self) -> int:
        return len(self._step_W)

    def batch(self, size: int, seed: int, step: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Windows (B, K, S, S, 3) uint8 and whether the goal has been held by their ends (B,) bool."""
        rng = np.random.default_rng([seed, step])
        picks_B = self._picks.draw(size, rng)
        windows_BKSS3 = np.stack([
            windows(self._clips[self._clip_W[w]].frames_FSS3, self._step_W[w, None], self._config)[0] for w in picks_B
        ])  # fmt: skip
        if self._augmentation is not None:
            windows_BKSS3 = augmented(windows_BKSS3, self._augmentation, rng)
        return (windows_BKSS3,), self._success_W[picks_B]


def augmented(windows_BKSS3: np.ndarray, config: WindowAugmentation, rng: np.random.Generator) -> np.ndarray:
    """Shift, blur, contrast, channel gain, brightness and noise, drawn per window: uint8 in and out."""
    _, frames, size = windows_BKSS3.shape[:3]
    s = config.shift
    out = np.empty_like(windows_BKSS3)
    grain = rng.standard_normal((frames, size, size, 3), np.float32) * (config.noise * 255)
    for b, window_KSS3 in enumerate(windows_BKSS3):
        y, x = rng.integers(0, 2 * s + 1, 2)
        gain_3 = (1 + rng.uniform(-1, 1) * config.contrast) * (1 + rng.uniform(-1, 1, 3) * config.channel_gain)
        offset = rng.uniform(-1, 1) * config.brightness * 255 + 127.5
        deviation = max(0.0, rng.uniform(-1, 1)) * config.blur
        for k, picture in enumerate(window_KSS3):
            moved = cv2.copyMakeBorder(picture, s, s, s, s, cv2.BORDER_REPLICATE)[y : y + size, x : x + size]
            if deviation > 0.1:
                moved = cv2.GaussianBlur(moved, (0, 0), deviation)
            pixels = (moved - np.float32(127.5)) * gain_3.astype(np.float32) + np.float32(offset)
            pixels += np.roll(grain[k], tuple(rng.integers(size, size=2)), (0, 1))
            out[b, k] = np.clip(np.rint(pixels), 0, 255)
    return out


def train_judge(
    training: list[Clip],
    calibrating: list[Clip],
    config: JudgeConfig,
    run: ClassifierTraining,
    folder: Path,
    report: Callable[[dict[str, float]], None],
    start: Judge | None = None,
) -> Judge:
    """Train, or go on, in ``folder``, from ``start`` or from nothing; the averaged judge with its temperature and
    threshold from ``calibrating``."""
    learned = LabelledClips(training, config, WindowAugmentation())
    held_out = LabelledClips(calibrating, config, None)
    torch.manual_seed(run.seed)
    trainer = ClassifierTrainer(Judge(config) if start is None else start, run, folder)
    trainer.run(learned, held_out, report)
    judge = trainer.averaged_network()
    judge.calibration = calibrate(*scored(judge, calibrating))
    return judge


def scored(judge: Judge, clips: list[Clip]) -> Scored:
    """The largest logit of each clip, a look every stride, and whether the clip succeeded."""
    logits = [rollout_logits(judge, clip.frames_FSS3, judge.config.stride)[0] for clip in clips]
    return Scored(np.array(logits, float), np.array([clip.succeeded for clip in clips], bool))


def by_kind(judge: Judge, clips: list[Clip]) -> dict[str, Scored]:
    """The same for the real and the imagined ones apart, those there are."""
    kinds = {"real": [c for c in clips if not c.imagined], "imagined": [c for c in clips if c.imagined]}
    return {kind: scored(judge, own) for kind, own in kinds.items() if own}


def judge_figures(judge: Judge, kinds: dict[str, Scored], seed: int) -> list[Figure]:
    """Recall, precision and accuracy of the verdicts with Wilson intervals, and the bins of the reliability curve."""
    figures = []
    for kind, own in kinds.items():
        figures += agreement(own.verdicts(judge.calibration), own.success_N).figures(f"reward.{kind}", seed)
    for kind, own in kinds.items():
        for b in reliability(probability(own.logits_N, judge.calibration.temperature), own.success_N):
            name = f"reward.{kind}.reliability_{min(9, int(10 * b.predicted))}"
            against = {"name": "predicted", "value": b.predicted}
            figures.append(Figure(name, b.observed, "fraction", b.n, b.low, b.high, seed, against))
    return figures
