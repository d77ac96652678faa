"""Sampling latents from noise along the rectified flow, as Cosmos-Predict2 does, or in a few steps.

Time and noise level are two names of one thing, ``sigma = t / (1 - t)``, and the network's input
``(1 - t) x_0 + t eps`` is the EDM's ``x_0 + sigma eps`` times ``1 - t``. A step needs the velocity once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import torch
from prophrl_core.errors import UserError
from torch import Tensor

from prophrl_world_model.config import ProphetConfig

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x_BCTHW, t_BT) -> v_BCTHW


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """``schedule`` "karras" is the base model's (and evaluates once more at ``sigma_min``); "uniform" is for few steps.

    ``solver`` "2m" extrapolates from the last two predictions of x_0, "euler" uses the last one.
    """

    steps: int = 35
    schedule: str = "karras"  # or uniform
    solver: str = "2m"  # or euler
    sigma_max: float = 80.0
    sigma_min: float = 0.002
    order: float = 7.0
    known_sigma: float = 1e-4  # what the network is told about given frames
    noise: float = 1.0  # share of the noise to begin with; 0 gives the mean of what may come, the same each time

    def __post_init__(self):
        if self.steps < 1 or self.schedule not in ("karras", "uniform") or self.solver not in ("2m", "euler"):
            raise UserError(
                f"sampler: expected steps >= 1, schedule karras or uniform and solver 2m or euler, got {self.steps}, "
                f"{self.schedule!r} and {self.solver!r}; correct the config"
            )

    @property
    def known_time(self) -> float:
        """The time of given frames."""
        return self.known_sigma / (1 + self.known_sigma)

    def times(self) -> list[float]:
        """The ``steps + 1`` times from noise towards data; the last is 0 for "uniform"."""
        if self.schedule == "uniform":
            return [1 - k / self.steps for k in range(self.steps)] + [0.0]
        low, high = self.sigma_min ** (1 / self.order), self.sigma_max ** (1 / self.order)
        sigmas = [(high + k / self.steps * (low - high)) ** self.order for k in range(self.steps + 1)]
        return [sigma / (1 + sigma) for sigma in sigmas]


FULL = SamplerConfig()
FEW_STEPS = SamplerConfig(steps=4, schedule="uniform", solver="euler")
ONE_STEP = SamplerConfig(steps=1, schedule="uniform", solver="euler", noise=0.0)


def for_steps(steps: int, config: ProphetConfig) -> SamplerConfig:
    """A sampler of few ``steps``; 0 takes as many as suit the model. One step begins without noise where the network
    gives samples, as it was trained to (``training_losses``, ``blank_share``)."""
    sample_given = config.prediction == "sample"
    if sample_given and steps in (0, 1):
        return ONE_STEP
    return dataclasses.replace(FEW_STEPS, steps=steps or FEW_STEPS.steps)


def _log_ratio(t: float) -> float:
    """log(1 / sigma), infinite at the ends."""
    return math.inf if t <= 0 else -math.inf if t >= 1 else math.log((1 - t) / t)


def _extrapolation(t_last: float | None, t: float, t_next: float) -> float:
    """How much of the change since the last prediction of x_0 to add (DPM-Solver++ 2M); 0 makes an Euler step."""
    if t_last is None or t_last >= 1 or t_next <= 0:
        return 0.0
    return 0.5 * (_log_ratio(t_next) - _log_ratio(t)) / (_log_ratio(t) - _log_ratio(t_last))


def sample(
    velocity: Velocity, noise_BCTHW: Tensor, given_BCTHW: Tensor, known_BT: Tensor, config: SamplerConfig
) -> Tensor:
    """Latents (B, C, T, H, W), float32, whose frames with ``known`` 1 are those of ``given``.

    The result depends on nothing but the arguments; draw the noise with one generator a rollout to make a
    rollout independent of the batch it is in.
    """
    known = known_BT[:, None, :, None, None].to(torch.bool)
    times = config.times()
    x = noise_BCTHW.float() * (config.noise * times[0])

    def predict(x: Tensor, t: float) -> Tensor:
        t_BT = torch.where(known_BT.bool(), config.known_time, t).to(x)
        x0 = x - t * velocity(torch.where(known, given_BCTHW, x), t_BT).float()
        return torch.where(known, given_BCTHW, x0)

    last, t_last = None, None
    for t, t_next in pairwise(times):
        x0 = predict(x, t)
        gain = _extrapolation(t_last, t, t_next) if config.solver == "2m" else 0.0
        ahead = x0 if gain == 0.0 else x0 + gain * (x0 - last)
        x = (t_next / t) * x + (1 - t_next / t) * ahead
        last, t_last = x0, t
    return predict(x, times[-1]) if times[-1] > 0 else torch.where(known, given_BCTHW, x)
