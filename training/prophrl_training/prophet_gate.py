"""Prophet's gate: does it rank a policy's rollouts in an unseen cell as reality does? (method.md section 9)

Real rollouts are imagined again from their first picture with the actions that were carried out; whoever looks at the
result must say which succeeded. Dimensions: G group (a start), N rollout of a group, R rollout of all.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from prophrl_core import action
from prophrl_core.figures import Figure, mean_interval, success_figure
from prophrl_world_model.imagination import ImaginationEnv

from prophrl_training.gate_cell import SMALL, Rollout
from prophrl_training.judge import Judge, probability, rollout_logits
from prophrl_training.outcome_predictor import OutcomePredictor
from prophrl_training.picture_trunk import shrunk
from prophrl_training.prophet_episodes import poses_of
from prophrl_training.ranking import agreement, group_aucs, within_group_auc

_AT_ONCE = 32  # rollouts imagined together
_ASK_EVERY = 8  # steps


@dataclasses.dataclass(frozen=True)
class Prophecy:
    """One rollout imagined: small pictures of its real length, and what the state head said (0 where there is none)."""

    small_FSS3: np.ndarray
    held: float


def imagine(environment: ImaginationEnv, rollouts: list[Rollout], seed: int, progress) -> list[Prophecy]:
    """Each rollout from its first picture with its own actions; those of like length go together."""
    order = sorted(range(len(rollouts)), key=lambda r: len(rollouts[r].actions_K7))
    found: dict[int, Prophecy] = {}
    for first in range(0, len(order), _AT_ONCE):
        chosen = order[first : first + _AT_ONCE]
        own = _together(environment, [rollouts[r] for r in chosen], chosen, seed)
        found |= dict(zip(chosen, own, strict=True))
        progress(min(first + _AT_ONCE, len(order)), len(order))
    return [found[r] for r in range(len(rollouts))]


def _together(environment: ImaginationEnv, rollouts: list[Rollout], numbers: list[int], seed: int) -> list[Prophecy]:
    K = environment.chunk_steps
    chunks = max(1, max(-(-len(r.actions_K7) // K) for r in rollouts))
    actions = np.stack([_padded(r.actions_K7, chunks * K) for r in rollouts])
    poses, openness = zip(*[poses_of(r.proprio_FP[:1].astype(float)) for r in rollouts], strict=True)
    config = environment.model.prophet
    first = shrunk(torch.from_numpy(np.stack([r.first_HW3 for r in rollouts])), config.height).numpy()
    environment.reset(
        first, np.concatenate(poses), np.concatenate(openness), [seed * 1_000_003 + number for number in numbers]
    )
    small = [shrunk(torch.from_numpy(first[:, None]), SMALL).numpy()]
    held = np.zeros((len(rollouts), 0))
    for chunk in range(chunks):
        imagined = environment.step(actions[:, chunk * K : (chunk + 1) * K])
        small.append(shrunk(torch.from_numpy(imagined.frames_NKHW3), SMALL).numpy())
        if imagined.success_NT is not None:
            held = np.concatenate([held, imagined.success_NT], axis=1)
    pictures = np.concatenate(small, axis=1)
    out = []
    for r, rollout in enumerate(rollouts):
        seen = -(-len(rollout.actions_K7) // 4)  # latent frames that belong to the rollout
        out.append(Prophecy(pictures[r, : len(rollout.actions_K7) + 1], float(held[r, :seen].max(initial=0.0))))
    return out


def _padded(actions_K7: np.ndarray, steps: int) -> np.ndarray:
    """The arm rests, the gripper stays, until the chunk is full."""
    rest = np.zeros((steps - len(actions_K7), action.ACTION_DIMS))
    rest[:, 6] = actions_K7[-1, 6] if len(actions_K7) else 1.0
    return np.concatenate([actions_K7, rest])


def judged(judge: Judge, clips: list[np.ndarray]) -> np.ndarray:
    """Probability (R,) that each clip of small pictures succeeds."""
    logits = np.array([rollout_logits(judge, clip, judge.config.stride)[0] for clip in clips], float)
    return probability(logits, judge.calibration.temperature)


@torch.no_grad()
def predicted(predictor: OutcomePredictor, rollouts: list[Rollout]) -> np.ndarray:
    """Probability (R,) by the no-video predictor, from the first picture and the commanded poses.

    As the judge, it is asked along the rollout whether the goal has been held by then; the largest answer counts.
    """
    largest = []
    for rollout in rollouts:
        steps = min(len(rollout.proprio_FP), predictor.config.horizon)
        ends = torch.arange(steps, 0, -_ASK_EVERY)
        frames = torch.from_numpy(rollout.first_HW3)[None].expand(len(ends), -1, -1, -1)
        poses = torch.from_numpy(rollout.proprio_FP[:steps])[None].expand(len(ends), -1, -1)
        largest.append(predictor(frames, poses, ends).max())
    return torch.stack(largest).sigmoid().double().numpy()


def grouped(rollouts: list[Rollout], values_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and outcomes as (G, N); every group has as many rollouts."""
    groups: dict[tuple[str, int], list[int]] = {}
    for r, rollout in enumerate(rollouts):
        groups.setdefault((rollout.policy, rollout.group), []).append(r)
    index = np.array(list(groups.values()))
    outcomes = np.array([rollout.succeeded for rollout in rollouts])
    return values_R[index], outcomes[index]


def ranking_figures(rollouts: list[Rollout], scores: dict[str, np.ndarray], seed: int) -> list[Figure]:
    """Within-group AUC of every score with its bootstrap interval; the no-video predictor beside each."""
    figures, rival = [], None
    if "no_video" in scores:
        rival = {"name": "no-video predictor", "value": within_group_auc(*grouped(rollouts, scores["no_video"])).auc}
    for name, values_R in scores.items():
        values_GN, outcomes_GN = grouped(rollouts, values_R)
        found = within_group_auc(values_GN, outcomes_GN)
        low, high = mean_interval(group_aucs(values_GN, outcomes_GN), seed)
        against = rival if name != "no_video" else None
        label = "prophet.within_group_auc" + ("" if name == "imagined" else f".{name}")
        figures.append(Figure(label, found.auc, "auc", found.groups, low, high, seed, against))
    return figures


def agreement_figures(rollouts: list[Rollout], said_R: np.ndarray, name: str, seed: int) -> list[Figure]:
    """Agreement, recall and precision of verdicts (R,) with what happened."""
    real = np.array([rollout.succeeded for rollout in rollouts])
    found = agreement(said_R, real)
    k, n = found.shares["accuracy"]
    return [success_figure(name, k, n, seed), *found.figures(name, seed)[:2]]


def policy_figures(rollouts: list[Rollout], said_R: np.ndarray, seed: int) -> list[Figure]:
    """Imagined success of each policy, the real one beside it."""
    figures = []
    for policy in dict.fromkeys(rollout.policy for rollout in rollouts):
        own = [r for r, rollout in enumerate(rollouts) if rollout.policy == policy]
        figure = success_figure(f"prophet.imagined_success.{policy}", int(said_R[own].sum()), len(own), seed)
        real = float(np.mean([rollouts[r].succeeded for r in own]))
        figures.append(dataclasses.replace(figure, against={"name": "real", "value": real}))
    return figures
