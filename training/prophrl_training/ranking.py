"""How well scores rank what happened: within groups of rollouts of one start, and as verdicts (method.md section 9).

Dimensions: G group, N rollout of a group. A group is rollouts from the same start; only groups in which some succeed
and some fail say anything about ranking.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, success_figure


class WithinGroupAuc(NamedTuple):
    """Mean AUC over the ``groups`` that hold both outcomes, and its standard error; NaN where it is not defined."""

    auc: float
    groups: int
    standard_error: float


def group_aucs(scores_GN: np.ndarray, outcomes_GN: np.ndarray) -> np.ndarray:
    """AUC inside each group that holds both outcomes: how often a success scores above a failure, ties half."""
    scores_GN, outcomes_GN = np.asarray(scores_GN, float), np.asarray(outcomes_GN)
    if scores_GN.ndim != 2 or scores_GN.shape != outcomes_GN.shape:
        raise UserError(f"ranking: expected scores and outcomes (G, N), got {scores_GN.shape} and {outcomes_GN.shape}")
    if np.isnan(scores_GN).any() or not np.isin(outcomes_GN, (0, 1)).all():
        raise UserError("ranking: expected scores without NaN and outcomes 0 or 1, got others")
    won_GN = outcomes_GN.astype(bool)
    mixed = won_GN.any(1) & ~won_GN.all(1)
    aucs = []
    for scores_N, won_N in zip(scores_GN[mixed], won_GN[mixed], strict=True):
        above = np.sign(scores_N[won_N][:, None] - scores_N[~won_N][None])
        aucs.append(0.5 + 0.5 * above.mean())
    return np.array(aucs)


def within_group_auc(scores_GN: np.ndarray, outcomes_GN: np.ndarray) -> WithinGroupAuc:
    """Mean over the mixed groups of the AUC inside each, how many those are, and the standard error of the mean."""
    aucs = group_aucs(scores_GN, outcomes_GN)
    mean = float(aucs.mean()) if len(aucs) else math.nan
    error = float(aucs.std(ddof=1) / math.sqrt(len(aucs))) if len(aucs) > 1 else math.nan
    return WithinGroupAuc(mean, len(aucs), error)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Counts of verdicts against what happened."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def shares(self) -> dict[str, tuple[int, int]]:
        """Numerator and denominator of recall, precision and accuracy."""
        tp, fp, fn, tn = dataclasses.astuple(self)
        return {"recall": (tp, tp + fn), "precision": (tp, tp + fp), "accuracy": (tp + tn, tp + fp + fn + tn)}

    def figures(self, prefix: str, seed: int | None) -> list[Figure]:
        """Recall, precision and accuracy with Wilson intervals; those of nothing are left out."""
        return [success_figure(f"{prefix}.{name}", k, n, seed) for name, (k, n) in self.shares.items() if n]


def agreement(predicted: np.ndarray, real: np.ndarray) -> Agreement:
    """Verdicts against outcomes, both boolean and of one shape."""
    predicted, real = np.asarray(predicted), np.asarray(real)
    if predicted.shape != real.shape or not (np.isin(predicted, (0, 1)).all() and np.isin(real, (0, 1)).all()):
        raise UserError(f"agreement: expected two boolean arrays alike, got {predicted.shape} and {real.shape}")
    predicted, real = predicted.astype(bool), real.astype(bool)
    counts = (predicted & real, predicted & ~real, ~predicted & real, ~predicted & ~real)
    return Agreement(*(int(c.sum()) for c in counts))
