"""One step of a flow sampler, in closed form, for numpy arrays and torch tensors alike.

Convention (Flow-GRPO, CPS): t = 1 is noise, t = 0 is data, ``x_t = (1 - t) x_0 + t eps``, the
velocity field predicts ``eps - x_0`` and sampling goes from 1 to 0, so ``t_next < t``.
Times and the noise level ``a`` are Python floats; ``x`` and ``v`` are arrays of one shape, for a
policy ``(B, T, D)``: batch, chunk step, action dimension. Only arithmetic touches the arrays, so
their precision and gradients are kept.
"""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple

Array = Any


class GaussianStep(NamedTuple):
    """The next state is ``N(mean, std^2 I)``; ``std`` is 0 for a deterministic step."""

    mean: Array
    std: float


def flow_times(steps: int) -> list[float]:
    """The ``steps + 1`` times of a uniform schedule, from 1 (noise) to 0 (data)."""
    if steps < 1:
        raise ValueError(f"a flow sampler needs at least 1 step, got {steps}")
    return [1.0 - k / steps for k in range(steps)] + [0.0]


def ode_step(x: Array, v: Array, t: float, t_next: float) -> GaussianStep:
    """The Euler step that deployment and evaluation use."""
    return GaussianStep(x + v * (t_next - t), 0.0)


def flow_sde_noise(t: float, t_next: float, a: float) -> float:
    """``s_t = a sqrt(t / (1 - t))``; at t = 1 the next time replaces t in the denominator."""
    return a * math.sqrt(t / (1.0 - (t if t < 1.0 else t_next)))


def flow_sde_step(x: Array, v: Array, t: float, t_next: float, a: float) -> GaussianStep:
    """Flow-GRPO's stochastic step: the ODE's marginals with injected noise of level ``a``."""
    dt = t_next - t
    s = flow_sde_noise(t, t_next, a)
    drift = s * s / (2.0 * t)
    mean = x * (1.0 + drift * dt) + v * ((1.0 + drift * (1.0 - t)) * dt)
    return GaussianStep(mean, s * math.sqrt(-dt))


def cps_step(x: Array, v: Array, t: float, t_next: float, a: float) -> GaussianStep:
    """Coefficient-preserving step: part of the remaining noise is fresh, its total is unchanged."""
    x_data = x - v * t
    x_noise = x + v * (1.0 - t)
    std = t_next * math.sin(0.5 * math.pi * a)
    mean = x_data * (1.0 - t_next) + x_noise * math.sqrt(t_next * t_next - std * std)
    return GaussianStep(mean, std)


STOCHASTIC_STEPS: dict[str, Callable[[Array, Array, float, float, float], GaussianStep]] = {
    "flow_sde": flow_sde_step,
    "cps": cps_step,
}


def gaussian_log_prob(x: Array, mean: Array, std: float) -> Array:
    """``log N(x; mean, std^2)`` for every entry; the caller chooses the precision."""
    if not std > 0.0:
        raise ValueError(f"a log-probability needs a stochastic step, got std = {std}")
    return -((x - mean) ** 2) / (2.0 * std * std) - math.log(std) - 0.5 * math.log(2.0 * math.pi)
