"""Flow samplers against closed forms, limits and an analytic mixture (method.md sections 3 and 8)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_policy import samplers

TIMES = st.tuples(st.floats(0.02, 0.999), st.floats(0.01, 0.99)).map(lambda p: (p[0], p[0] * p[1]))
NOISE = st.floats(0.05, 1.0)
VALUES = st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(np.array)


@given(TIMES, NOISE, VALUES, VALUES)
def test_flow_sde_step_equals_the_drift_of_the_reverse_sde(times, a, x, v):
    """Independent derivation: mean = x + (v + s^2/2 * (x + (1-t) v)/t) dt, from score = -(x+(1-t)v)/t."""
    t, t_next = times
    dt = t_next - t
    s_squared = a * a * t / (1 - t)
    score = -(x + (1 - t) * v) / t
    expected = x + (v - 0.5 * s_squared * score) * dt
    mean, std = samplers.flow_sde_step(x, v, t, t_next, a)
    np.testing.assert_allclose(mean, expected, atol=1e-10, rtol=1e-10)
    assert std == pytest.approx(math.sqrt(s_squared * -dt), abs=1e-10)


def test_first_flow_sde_step_is_finite_and_uses_the_next_time():
    assert samplers.flow_sde_noise(1.0, 0.875, 0.7) == pytest.approx(0.7 * math.sqrt(1 / 0.125), abs=1e-12)


@given(TIMES, NOISE, VALUES, VALUES)
def test_cps_keeps_the_noise_budget(times, a, x, v):
    """Along the true flow x = (1-t) x0 + t eps the new state is (1-t') x0 plus noise of deviation t'."""
    t, t_next = times
    x0, eps = x - t * v, x + (1 - t) * v
    mean, std = samplers.cps_step(x, v, t, t_next, a)
    noise_weight = math.sqrt(t_next**2 - std**2)
    np.testing.assert_allclose(mean, (1 - t_next) * x0 + noise_weight * eps, atol=1e-10)


@pytest.mark.parametrize("name", sorted(samplers.STOCHASTIC_STEPS))
@given(times=TIMES, x=VALUES, v=VALUES)
@settings(max_examples=50)
def test_no_noise_is_the_ode(name, times, x, v):
    mean, std = samplers.STOCHASTIC_STEPS[name](x, v, *times, 0.0)
    np.testing.assert_allclose(mean, samplers.ode_step(x, v, *times).mean, atol=1e-12)
    assert std == 0.0


MIXTURE = [(0.3, -1.5, 0.3), (0.7, 1.0, 0.5)]  # weight, mean, deviation


def mixture_velocity(x, t):
    """E[eps - x0 | x_t = x] of the mixture above."""
    log_weights, velocities = [], []
    for weight, m, s in MIXTURE:
        variance = (1 - t) ** 2 * s * s + t * t
        residual = x - (1 - t) * m
        log_weights.append(math.log(weight) - 0.5 * math.log(variance) - residual**2 / (2 * variance))
        velocities.append(t / variance * residual - (m + (1 - t) * s * s / variance * residual))
    weights = np.exp(np.array(log_weights) - np.max(log_weights, axis=0))
    return (weights * np.array(velocities)).sum(0) / weights.sum(0)


def sample_mixture(step, n, steps, seed):
    rng = np.random.default_rng(seed)
    x, times = rng.standard_normal(n), samplers.flow_times(steps)
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        mean, std = step(x, mixture_velocity(x, t), t, t_next)
        x = mean + std * rng.standard_normal(n)
    return x


@pytest.mark.parametrize("name", sorted(samplers.STOCHASTIC_STEPS))
def test_stochastic_samplers_end_with_the_marginals_of_the_ode(name):
    stochastic = samplers.STOCHASTIC_STEPS[name]
    noisy = sample_mixture(lambda x, v, t, t_next: stochastic(x, v, t, t_next, 0.3), 40_000, 200, 1)
    plain = sample_mixture(samplers.ode_step, 40_000, 200, 0)
    assert distance_to_mixture(plain) < 0.012
    assert distance_to_mixture(noisy) < 0.03


def distance_to_mixture(samples):
    """Kolmogorov-Smirnov distance to the exact distribution (0.007 is the 5 % level for 40,000)."""
    x = np.sort(samples)
    exact = sum(w * 0.5 * (1 + np.vectorize(math.erf)((x - m) / (s * math.sqrt(2)))) for w, m, s in MIXTURE)
    return np.abs(exact - (np.arange(len(x)) + 0.5) / len(x)).max()


def test_log_probability_is_the_gaussian_density():
    x = np.linspace(-3, 3, 601)
    density = np.exp(samplers.gaussian_log_prob(x, 0.2, 0.5))
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=1e-6)
    assert x[density.argmax()] == pytest.approx(0.2)
    with pytest.raises(ValueError):
        samplers.gaussian_log_prob(x, 0.0, 0.0)


def test_schedule_ends_exactly_at_data():
    times = samplers.flow_times(8)
    assert times[0] == 1.0 and times[-1] == 0.0 and len(times) == 9
    assert np.diff(times) == pytest.approx(-0.125)
    with pytest.raises(ValueError):
        samplers.flow_times(0)
