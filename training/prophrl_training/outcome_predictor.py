"""The no-video baseline: first frame and commanded poses -> success (method.md section 9).

A world model whose imagined clips rank rollouts worse than this does is not ready for reinforcement. Dimensions: B
batch, T step, P proprioception (prophrl_core.action.proprioception), D width of a token, M places in the first frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from prophrl_core.errors import UserError, check_whole_numbers
from prophrl_core.figures import Figure
from torch import Tensor, nn

from prophrl_training.classifier_files import SuccessClassifier, check_widths
from prophrl_training.classifier_training import ClassifierTrainer, ClassifierTraining, require_both
from prophrl_training.dataset import AugmentationConfig, augment
from prophrl_training.labelled_clips import Clip, digest_of
from prophrl_training.picture_trunk import GROUPS, PictureTrunk, shrunk, trunk_side

PROPRIO_DIMS = 10


@dataclasses.dataclass(frozen=True)
class PredictorConfig:
    """Sizes; trajectories of up to ``horizon`` steps."""

    size: int = 64
    horizon: int = 160
    widths: tuple[int, ...] = (16, 32, 48, 64)
    width: int = 96
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        check_widths("outcome predictor", self.widths, GROUPS)
        ranges = {"size": (self.size, 8, 512), "horizon": (self.horizon, 1, 10_000), "width": (self.width, 1, 4096)}
        ranges |= {"layers": (self.layers, 1, 32), "heads": (self.heads, 1, 64)}
        check_whole_numbers("outcome predictor", ranges)
        if self.width % self.heads:
            raise UserError(f"outcome predictor: expected a width that {self.heads} heads divide, got {self.width}")


class OutcomePredictor(SuccessClassifier):
    """Places of the first frame and poses as tokens of one transformer, read at a token of its own: 0.3 M weights."""

    NAME, CONFIG = "outcome_predictor", PredictorConfig

    def __init__(self, config: PredictorConfig) -> None:
        super().__init__(config)
        places = trunk_side(config.size, config.widths) ** 2
        self.trunk = PictureTrunk(3, config.widths)
        self.from_place = nn.Linear(config.widths[-1], config.width)
        self.from_pose = nn.Linear(2 * PROPRIO_DIMS, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(1 + places + config.horizon, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, 2 * config.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, 1))
        self.register_buffer("mean_P", torch.zeros(PROPRIO_DIMS))
        self.register_buffer("deviation_P", torch.ones(PROPRIO_DIMS))

    def normalise_by(self, proprio_NP: np.ndarray) -> None:
        """Take mean and deviation of the proprioception from the training data."""
        self.mean_P.copy_(torch.from_numpy(proprio_NP.mean(0)))
        self.deviation_P.copy_(torch.from_numpy(np.maximum(proprio_NP.std(0), 1e-3)))

    def forward(self, frame_BHW3: Tensor, proprio_BTP: Tensor, steps_B: Tensor) -> Tensor:
        """Logit (B,) that the goal has been held after ``steps_B`` steps; what follows them in ``proprio_BTP`` is not
        looked at. ``frame_BHW3`` uint8 RGB of any size; poses commanded, T at most the horizon."""
        batch, steps = proprio_BTP.shape[:2]
        if not 0 < steps <= self.config.horizon:
            raise UserError(f"outcome predictor: expected 1 to {self.config.horizon} steps, got {steps}; cut them")
        picture = shrunk(frame_BHW3, self.config.size).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        seen_BMD = self.from_place(self.trunk(picture).flatten(2).transpose(1, 2))
        pose_BTP = (proprio_BTP.float() - self.mean_P) / self.deviation_P
        change_BTP = (proprio_BTP - proprio_BTP[:, :1]).float() / self.deviation_P
        pose_BTD = self.from_pose(torch.cat([pose_BTP, change_BTP], -1))
        read_B1D = seen_BMD.new_zeros(batch, 1, self.config.width)
        tokens_BND = torch.cat([read_B1D, seen_BMD, pose_BTD], 1)
        tokens_BND = tokens_BND + self.place[: tokens_BND.shape[1]]
        after_BT = torch.arange(steps, device=steps_B.device) >= steps_B[:, None]
        hidden_BN = nn.functional.pad(after_BT, (tokens_BND.shape[1] - steps, 0))
        return self.head(self.transformer(tokens_BND, src_key_padding_mask=hidden_BN)[:, 0])[:, 0]


class PredictorExamples:
    """Trajectories cut where the outcome is known. Each failure is cut at the step of a success.

    Episodes end soon after they succeed and go on while they fail, so that their lengths would tell the outcome.
    """

    def __init__(self, clips: list[Clip], config: PredictorConfig, augmentation: AugmentationConfig | None) -> None:
        if any(clip.proprio_FP is None for clip in clips):
            raise UserError("outcome predictor: expected commanded poses in every clip, some have none")
        self._clips, self._augmentation, self._horizon = clips, augmentation, config.horizon
        known = np.zeros((len(clips), config.horizon), bool)
        won = np.zeros((len(clips), config.horizon), bool)
        for n, clip in enumerate(clips):
            steps = np.arange(len(clip.success_F)) if not clip.succeeded else clip.labelled_L
            steps = steps[steps < config.horizon]
            known[n, steps], won[n, steps] = True, clip.success_F[steps]
        lost = known & ~won
        won &= lost.any(0)  # cut where there is a failure to set beside it
        self._won_X2 = np.argwhere(won)
        self._lost = [np.flatnonzero(own) for own in lost.T]
        outcomes = np.repeat([True, False], [len(self._won_X2), int(lost.sum())])
        require_both(outcomes, "outcome predictor")
        self.digest = f"{digest_of(clips)} {augmentation}"

    def batch(self, size: int, seed: int, step: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """First frames (B, S, S, 3), proprioception (B, T, P), steps (B,); whether the goal was held by then (B,)."""
        rng = np.random.default_rng([seed, step])
        cuts = []
        for _ in range(-(-size // 2)):
            n, last = self._won_X2[rng.integers(len(self._won_X2))]
            cuts += [(n, last), (self._lost[last][rng.integers(len(self._lost[last]))], last)]
        cuts = cuts[:size]
        proprio_BTP = np.zeros((size, max(last for _, last in cuts) + 1, PROPRIO_DIMS), np.float32)
        for b, (n, last) in enumerate(cuts):
            proprio_BTP[b, : last + 1] = self._clips[n].proprio_FP[: last + 1]
        frames_BSS3 = np.stack([self._clips[n].frames_FSS3[0] for n, _ in cuts])
        if self._augmentation is not None:
            frames_BSS3 = augment(frames_BSS3, self._augmentation, rng)[0]
        steps_B = np.array([last + 1 for _, last in cuts], np.int64)
        return (frames_BSS3, proprio_BTP, steps_B), np.array([self._clips[n].success_F[last] for n, last in cuts])


def train_predictor(
    training: list[Clip],
    held_out: list[Clip],
    config: PredictorConfig,
    run: ClassifierTraining,
    folder: Path,
    report: Callable[[dict[str, float]], None],
    start: OutcomePredictor | None = None,
) -> OutcomePredictor:
    """Train, or go on, in ``folder``, on clips with poses, from ``start``, whose scales stay, or from nothing.

    The averaged predictor.
    """
    learned = PredictorExamples(training, config, AugmentationConfig())
    validation = PredictorExamples(held_out, config, None)
    torch.manual_seed(run.seed)
    network = start
    if network is None:
        network = OutcomePredictor(config)
        network.normalise_by(np.concatenate([clip.proprio_FP for clip in training]))
    trainer = ClassifierTrainer(network, run, folder)
    trainer.run(learned, validation, report)
    return trainer.averaged_network()


@torch.no_grad()
def predictor_figure(predictor: OutcomePredictor, clips: list[Clip], seed: int, batches: int = 4) -> Figure:
    """How often, of a success and a failure cut at the same step, the success gets the higher logit; ties half."""
    examples = PredictorExamples(clips, predictor.config, None)
    better = []
    for step in range(batches):
        inputs, success_B = examples.batch(64, seed, step)
        logits_B = predictor(*map(torch.from_numpy, inputs)).double().numpy()
        better.append(0.5 + 0.5 * np.sign(logits_B[success_B] - logits_B[~success_B]))
    better = np.concatenate(better)
    return Figure("reward.baseline.pair_accuracy", float(better.mean()), "fraction", len(better), seed=seed)
