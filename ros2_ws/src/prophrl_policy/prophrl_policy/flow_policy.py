"""The one interface of flow policies, small or published.

Dimensions: B batch, T chunk step, D action dimension, K flow step, H W image, P proprioception,
L instruction token. Everything inside a policy is normalised; units live in ``normalisation.py``.

A policy says two things: what an observation means (``condition``, computed once) and which way
the flow goes (``velocity``, computed at every flow step). Sampling, and the per-step Gaussians
that reinforcement learning needs, follow from these and are the same for every policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from prophrl_policy.samplers import STOCHASTIC_STEPS, flow_times, gaussian_log_prob, ode_step


class PolicyInput(NamedTuple):
    """A batch of observations as the network takes them."""

    image_BHWC: Tensor  # uint8
    proprio_BP: Tensor  # normalised
    tokens_BL: Tensor  # int64, see instruction.py


@dataclass(frozen=True)
class FlowTrace:
    """A sampled flow: what is needed to ask later how likely it is under other weights."""

    sampler: str
    a: float
    states_KBTD: Tensor  # K + 1 states, from the noise to the chunk
    log_prob_KBTD: Tensor  # float32; zero where a step is deterministic

    @property
    def chunk_BTD(self) -> Tensor:
        return self.states_KBTD[-1]


class StepGaussians(NamedTuple):
    """Means and standard deviations of all flow steps along fixed states."""

    mean_KBTD: Tensor
    std_K: Tensor
    log_prob_KBTD: Tensor  # float32


class FlowPolicy(nn.Module, ABC):
    """``chunk_steps`` x ``action_dim`` actions from one observation, by a flow in ``flow_steps``."""

    chunk_steps: int
    action_dim: int
    flow_steps: int

    @abstractmethod
    def condition(self, observation: PolicyInput) -> Any:
        """What the velocity field needs to know of the observation (one tensor or a cache)."""

    @abstractmethod
    def velocity(self, condition: Any, x_BTD: Tensor, t_B: Tensor) -> Tensor:
        """Predicted ``eps - x_0``, ``(B, T, D)``, at flow time ``t_B`` in [0, 1]."""

    def _velocity_at(self, condition: Any, x_BTD: Tensor, t: float) -> Tensor:
        return self.velocity(condition, x_BTD, torch.full_like(x_BTD[:, 0, 0], t))

    def sample(self, condition: Any, noise_BTD: Tensor) -> Tensor:
        """The deterministic chunk ``(B, T, D)`` that the noise flows to."""
        x_BTD, times = noise_BTD, flow_times(self.flow_steps)
        for t, t_next in zip(times[:-1], times[1:], strict=True):
            x_BTD = ode_step(x_BTD, self._velocity_at(condition, x_BTD, t), t, t_next).mean
        return x_BTD

    def forward(self, image_BHWC: Tensor, proprio_BP: Tensor, tokens_BL: Tensor, noise_BTD: Tensor) -> Tensor:
        """Observation and noise to chunk: the graph that is exported and deployed."""
        return self.sample(self.condition(PolicyInput(image_BHWC, proprio_BP, tokens_BL)), noise_BTD)

    @torch.no_grad()
    def sample_stochastic(
        self, condition: Any, noise_BTD: Tensor, sampler: str, a: float, generator: torch.Generator | None = None
    ) -> FlowTrace:
        """Sample with ``STOCHASTIC_STEPS[sampler]`` at noise level ``a`` and keep every state."""
        step = STOCHASTIC_STEPS[sampler]
        states, log_probs = [noise_BTD], []
        times = flow_times(self.flow_steps)
        for t, t_next in zip(times[:-1], times[1:], strict=True):
            x = states[-1]
            mean, std = step(x, self._velocity_at(condition, x, t), t, t_next, a)
            fresh = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
            states.append(mean + std * fresh)
            log_probs.append(_log_prob(states[-1], mean, std))
        return FlowTrace(sampler, a, torch.stack(states), torch.stack(log_probs))

    def step_gaussians(self, condition: Any, trace: FlowTrace) -> StepGaussians:
        """The Gaussians of every step of ``trace`` under the present weights, with gradients."""
        step = STOCHASTIC_STEPS[trace.sampler]
        times = flow_times(trace.states_KBTD.shape[0] - 1)
        means, stds, log_probs = [], [], []
        for k, (t, t_next) in enumerate(zip(times[:-1], times[1:], strict=True)):
            x, x_next = trace.states_KBTD[k], trace.states_KBTD[k + 1]
            mean, std = step(x, self._velocity_at(condition, x, t), t, t_next, trace.a)
            means.append(mean)
            stds.append(std)
            log_probs.append(_log_prob(x_next, mean, std))
        return StepGaussians(torch.stack(means), torch.tensor(stds), torch.stack(log_probs))


def _log_prob(x: Tensor, mean: Tensor, std: float) -> Tensor:
    if std == 0.0:
        return torch.zeros_like(mean, dtype=torch.float32)
    return gaussian_log_prob(x.float(), mean.float(), std)


def flow_matching_loss(velocity_BTD: Tensor, chunk_BTD: Tensor, noise_BTD: Tensor, t_B: Tensor) -> Tensor:
    """``t^2`` times the squared error against ``eps - x_0``, per element ``(B, T, D)``.

    The weight makes it the squared error of the chunk that the velocity points to, ``x_t - t v``, so all
    noise levels count alike.
    """
    return (t_B[:, None, None] * (velocity_BTD - (noise_BTD - chunk_BTD))) ** 2
