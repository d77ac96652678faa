"""The sampler on fields whose answer is known: an analytic Gaussian, a point, and given frames."""

import numpy as np
import pytest
import torch
from PIL import Image
from prophrl_core.errors import UserError
from prophrl_training.commands.bench_imagination import stock_pipeline
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.prophet import Prophet
from prophrl_world_model.sampler import FEW_STEPS, FULL, ONE_STEP, SamplerConfig, for_steps, sample

MEAN, STD = 0.7, 0.4


def gaussian_velocity(x, t_BT):
    """The exact velocity field when the data are N(MEAN, STD^2)."""
    t = t_BT[:, None, :, None, None]
    variance = ((1 - t) * STD) ** 2 + t**2
    x0 = MEAN + (1 - t) * STD**2 / variance * (x - (1 - t) * MEAN)
    return (x - x0) / t


def draw(config, velocity=gaussian_velocity, frames=2, known=()):
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 4, frames, 32, 32, generator=g)
    known_BT = torch.zeros(4, frames)
    known_BT[:, list(known)] = 1
    return sample(velocity, noise, torch.full_like(noise, 3.0), known_BT, config), noise


@pytest.mark.parametrize("config", [FULL, SamplerConfig(steps=200, schedule="uniform", solver="euler")])
def test_marginals_of_an_analytic_gaussian(config):
    x, noise = draw(config)
    # 32,768 draws: the standard error of the mean is 0.0022.
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(x.std()) == pytest.approx(STD, rel=0.02)
    # The flow of a Gaussian is a straight transport: the noise's quantiles are the sample's.
    torch.testing.assert_close(x, MEAN + STD * noise, rtol=0, atol=0.05)


def test_the_second_order_solver_is_closer_than_euler():
    def error(solver):
        x, noise = draw(SamplerConfig(steps=8, solver=solver))
        return float((x - MEAN - STD * noise).abs().mean())

    assert error("2m") < 0.5 * error("euler")


@pytest.mark.parametrize("config", [FULL, FEW_STEPS, SamplerConfig(steps=1, schedule="uniform", solver="euler")])
def test_a_point_is_reached_and_given_frames_are_kept(config):
    seen = []

    def to_a_point(x, t_BT):
        seen.append((x[:, :, 0].clone(), t_BT.clone()))
        return (x - 1.5) / t_BT[:, None, :, None, None]

    x, _ = draw(config, to_a_point, frames=3, known=(0,))
    torch.testing.assert_close(x[:, :, 1:], torch.full_like(x[:, :, 1:], 1.5), rtol=0, atol=1e-4)
    assert torch.equal(x[:, :, 0], torch.full_like(x[:, :, 0], 3.0))
    for given, t_BT in seen:
        assert torch.equal(given, torch.full_like(given, 3.0)), "the network sees the given frame clean"
        assert (t_BT[:, 0] == torch.tensor(config.known_time)).all() and (t_BT[:, 1] == t_BT[:, 2]).all()
    assert len(seen) == config.steps + (config.schedule == "karras")
    times = [float(t[0, 1]) for _, t in seen]
    assert times == sorted(times, reverse=True)


def test_the_full_sampler_is_the_stock_pipelines(miniature):
    """The same weights, noise and given frame lead to the same latents through diffusers' own pipeline."""
    config = miniature(scalar_stream=False, frame_stream="none", history_order="none")
    torch.manual_seed(0)
    model, autoencoder = Prophet(config).eval(), VideoAutoencoder(config.autoencoder)
    pipeline = stock_pipeline(config, autoencoder.wan)
    pipeline.transformer.load_state_dict(model.state_dict())
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    noise, text = torch.randn(1, *config.latent_shape), torch.randn(1, 3, config.text_dim)
    stock = pipeline(
        image=image, prompt_embeds=text, height=32, width=48, num_frames=config.chunk_steps + 1, num_inference_steps=35,
        guidance_scale=1.0, output_type="latent", latents=noise, generator=torch.Generator().manual_seed(0),
    ).frames  # fmt: skip
    known = torch.zeros(1, config.latent_frames)
    known[:, 0] = 1
    condition = model.condition(known, text_BLE=text)
    with torch.no_grad():
        ours = sample(
            lambda x, t: model(x, t, condition), noise, stock[:, :, :1].expand_as(noise), known,
            SamplerConfig(34, "karras", "euler"),
        )  # fmt: skip
    assert float((ours - stock).abs().max()) < 0.05 * float(stock.std())


def test_a_sampler_that_cannot_run_is_one_line():
    for change in ({"steps": 0}, {"schedule": "cosine"}, {"solver": "heun"}):
        with pytest.raises(UserError, match="expected steps >= 1"):
            SamplerConfig(**change)


def test_one_step_without_noise_is_the_same_whatever_the_seed(miniature):
    shape, known = (2, 4, 3, 2, 2), torch.tensor([[1.0, 0.0, 0.0]]).expand(2, 3)
    given, seen = torch.ones(shape), []

    def velocity(x, t):
        seen.append((x[:, :, 1:].abs().max(), t[:, 1:].unique().tolist()))
        return x - 7.0  # towards 7 from nothing

    ends = [sample(velocity, torch.randn(shape), given, known, ONE_STEP) for _ in range(2)]
    assert torch.equal(*ends) and (ends[0][:, :, 1:] == 7).all() and (ends[0][:, :, 0] == 1).all()
    assert seen == [(0.0, [1.0])] * 2
    sample_given = miniature(prediction="sample")
    assert for_steps(0, sample_given) == for_steps(1, sample_given) == ONE_STEP
    assert for_steps(0, miniature()) == FEW_STEPS and for_steps(2, miniature()).steps == 2
    assert for_steps(1, miniature()).noise == 1.0 and for_steps(3, sample_given).noise == 1.0
