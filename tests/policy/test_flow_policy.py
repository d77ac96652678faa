"""The flow-policy interface: ratio 1, conditions computed once, sampling that is what it says."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prophrl_policy.flow_policy import PolicyInput, flow_matching_loss  # noqa: E402
from prophrl_policy.instruction import tokenize  # noqa: E402
from prophrl_policy.small_policy import (  # noqa: E402
    SmallPolicy,
    SmallPolicyConfig,
    cell_centres,
    place_loss,
)

TINY = SmallPolicyConfig(image_size=32, channels=8, keypoints=8, width=32, blocks=2, flow_steps=4)


def randomise(policy, seed=0):
    """Zero-initialised layers would hide mistakes: give every weight a value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in policy.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.1)
    return policy.eval()


def observation(batch, config=TINY, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (batch, config.image_size, config.image_size, 3), generator=generator)
    tokens = torch.from_numpy(np.tile(tokenize("grasp the bottle"), (batch, 1)))
    return PolicyInput(image.to(torch.uint8), torch.randn(batch, 10, generator=generator), tokens)


def chunk(batch, seed=1):
    return torch.randn(batch, 20, 7, generator=torch.Generator().manual_seed(seed))


def test_default_size_is_what_the_issue_asks_for():
    weights = sum(p.numel() for p in SmallPolicy(SmallPolicyConfig()).parameters())
    assert 2e6 <= weights <= 5e6


@pytest.mark.parametrize("sampler", ["flow_sde", "cps"])
def test_ratio_is_exactly_one_before_an_update(sampler):
    policy = randomise(SmallPolicy(TINY))
    condition = policy.condition(observation(5))
    trace = policy.sample_stochastic(condition, chunk(5), sampler, 0.7, torch.Generator().manual_seed(2))
    again = policy.step_gaussians(condition, trace)
    assert again.log_prob_KBTD.dtype == torch.float32
    assert torch.equal(again.log_prob_KBTD, trace.log_prob_KBTD)
    assert torch.isfinite(trace.log_prob_KBTD).all()
    assert again.log_prob_KBTD.requires_grad


def test_ratio_leaves_one_after_an_update():
    policy = randomise(SmallPolicy(TINY))
    seen = observation(3)
    trace = policy.sample_stochastic(policy.condition(seen), chunk(3), "flow_sde", 0.7)
    with torch.no_grad():
        policy.leave.bias += 0.05
    ratio = (policy.step_gaussians(policy.condition(seen), trace).log_prob_KBTD - trace.log_prob_KBTD).exp()
    assert (ratio - 1).abs().max() > 1e-3


def test_stochastic_sampling_without_noise_is_the_deployed_sampler():
    policy = randomise(SmallPolicy(TINY))
    condition = policy.condition(observation(2))
    trace = policy.sample_stochastic(condition, chunk(2), "flow_sde", 0.0)
    with torch.no_grad():
        torch.testing.assert_close(trace.chunk_BTD, policy.sample(condition, chunk(2)))


def test_sampling_is_the_plain_euler_integral():
    policy = randomise(SmallPolicy(TINY))
    with torch.no_grad():
        condition, x = policy.condition(observation(2)), chunk(2)
        expected = policy.sample(condition, x)
        for k in range(4):
            x = x - 0.25 * policy.velocity(condition, x, torch.full((2,), 1 - 0.25 * k))
    torch.testing.assert_close(expected, x)


def test_batching_does_not_change_an_entry():
    policy = randomise(SmallPolicy(TINY))
    seen, noise = observation(4), chunk(4)
    with torch.no_grad():
        together = policy(*seen, noise)
        alone = policy(*(part[2:3] for part in seen), noise[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", ["image", "proprio", "instruction"])
def test_every_part_of_the_observation_matters(part):
    policy = randomise(SmallPolicy(TINY))
    seen = observation(1)
    other = {
        "image": seen._replace(image_BHWC=255 - seen.image_BHWC),
        "proprio": seen._replace(proprio_BP=seen.proprio_BP + 1),
        "instruction": seen._replace(tokens_BL=torch.from_numpy(tokenize("place the cube"))[None]),
    }[part]
    with torch.no_grad():
        assert (policy(*seen, chunk(1)) - policy(*other, chunk(1))).abs().max() > 1e-5


def test_the_policy_overfits_one_batch():
    torch.manual_seed(0)
    policy = SmallPolicy(dataclasses.replace(TINY, width=192))
    seen, target = observation(4), 0.5 * chunk(4, seed=3)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    for _ in range(150):
        noise, t = torch.randn(64, 20, 7), torch.rand(64)
        goal = target.repeat(16, 1, 1)
        x = (1 - t[:, None, None]) * goal + t[:, None, None] * noise
        condition = policy.condition(seen).repeat(16, 1)
        loss = flow_matching_loss(policy.velocity(condition, x, t), goal, noise, t).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        error = (policy.sample(policy.condition(seen), chunk(4, seed=9)) - target).abs().mean()
    not_looking = (target.mean(0) - target).abs().mean()
    assert error < 0.5 * not_looking


def test_the_loss_is_the_error_of_the_chunk_the_velocity_points_to():
    goal, noise, velocity, t = chunk(3, 1), chunk(3, 2), chunk(3, 3), torch.tensor([0.2, 0.5, 1.0])
    x = (1 - t[:, None, None]) * goal + t[:, None, None] * noise
    pointed_to = x - t[:, None, None] * velocity
    torch.testing.assert_close(flow_matching_loss(velocity, goal, noise, t), (pointed_to - goal) ** 2)


def test_place_loss_is_least_at_the_right_place_and_ignores_the_unknown():
    x, y = torch.meshgrid(cell_centres(8), cell_centres(8), indexing="xy")
    goal = torch.tensor([[[0.31, -0.4], [float("nan"), 0.0]]])

    def peaked(place):
        logits = -20 * ((x - place[0]) ** 2 + (y - place[1]) ** 2)
        return torch.stack([logits.flatten(), torch.randn(64)]).log_softmax(-1)[None]

    right = place_loss(peaked((0.31, -0.4)), goal)
    assert torch.isfinite(right)
    for wrong in ((0.31, 0.4), (-0.31, -0.4), (-0.4, 0.31), (0.8, -0.4)):
        assert place_loss(peaked(wrong), goal) > right + 0.5
    assert place_loss(peaked((0.0, 0.0)), torch.full((1, 2, 2), 5.0)) == 0.0


def test_keypoints_follow_what_moves_in_the_image():
    """A network taught one place finds it again somewhere else: expected places are in image coordinates."""
    policy = SmallPolicy(TINY)
    optimiser = torch.optim.AdamW(policy.encoder.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)

    def dots(n):
        at = torch.randint(4, 28, (n, 2), generator=generator)
        image = torch.zeros(n, 32, 32, 3, dtype=torch.uint8)
        for i, (row, column) in enumerate(at):
            image[i, row - 1 : row + 2, column - 1 : column + 2] = 255
        place = (at.flip(-1) + 0.5) / 16 - 1.0
        return image, torch.stack([place, place], 1)

    for _ in range(150):
        image, place = dots(16)
        loss = place_loss(policy.encoder(image)[:, :2], place)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    image, place = dots(64)
    with torch.no_grad():
        found = policy.encoder.expected_places(policy.encoder(image))[:, :2]
    assert (found - place).abs().mean() < 0.1
