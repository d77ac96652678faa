"""Coding clips as changes: what stands still is nothing, and comes back as the given frame's own pixels."""

import pytest
import torch
from prophrl_core.errors import UserError
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.latent_coding import decode_clips, encode_clips, encode_given
from prophrl_world_model.prophet import Prophet


@pytest.fixture
def coded(miniature):
    """Configuration that codes changes, its autoencoder, and clips (3, 9, 32, 48, 3) in whose left half all moves."""
    config = miniature(latent_coding="changes")
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(config.autoencoder).eval()
    autoencoder.initialise()
    clips = torch.randint(0, 256, (3, 1, 32, 48, 3), dtype=torch.uint8).expand(3, 9, 32, 48, 3).clone()
    clips[:, 1:, :, :24] = torch.randint(0, 256, (3, 8, 32, 24, 3), dtype=torch.uint8)
    return config, autoencoder, clips


@torch.no_grad()
def test_what_stands_still_is_zero_and_comes_back_exactly(coded):
    config, autoencoder, clips = coded
    still = clips[:, :1].expand_as(clips)
    latents = encode_clips(config, autoencoder, still)
    assert (latents[:, :, 1:] == 0).all() and latents[:, :, 0].std() > 0
    torch.testing.assert_close(latents[:, :, :1], encode_given(autoencoder, clips[:, 0]))
    assert torch.equal(decode_clips(config, autoencoder, latents, clips[:, 0]), still)


@torch.no_grad()
def test_a_coded_clip_decodes_to_the_autoencoders_where_it_changed_and_to_the_given_frame_elsewhere(coded):
    config, autoencoder, clips = coded
    plain, still = autoencoder.decode(autoencoder.encode(clips)), autoencoder.encode(clips[:, :1].expand_as(clips))
    ours = decode_clips(config, autoencoder, encode_clips(config, autoencoder, clips), clips[:, 0])
    difference = (plain.float() - autoencoder.decode(still).float()).abs().amax(-1)
    changed, same = difference > 16, torch.nn.functional.max_pool2d(difference, 3, stride=1, padding=1) < 4
    assert (ours[changed].int() - plain[changed].int()).abs().max() <= 1
    assert torch.equal(ours[same], clips[:, :1].expand_as(clips)[same])


@torch.no_grad()
def test_plain_coding_is_the_autoencoders(coded, miniature):
    config, (_, autoencoder, clips) = miniature(), coded
    latents = encode_clips(config, autoencoder, clips)
    assert torch.equal(latents, autoencoder.encode(clips))
    assert torch.equal(decode_clips(config, autoencoder, latents, clips[:, 0]), autoencoder.decode(latents))


@torch.no_grad()
def test_a_network_that_gives_the_sample_states_the_velocity_towards_it(miniature):
    made = [Prophet(miniature(prediction=kind)).eval() for kind in ("velocity", "sample")]
    made[1].load_state_dict(made[0].state_dict())
    shape, known = (2, *made[0].prophet.latent_shape), torch.zeros(2, 3)
    known[:, 0] = 1
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([[1e-4, 0.3, 0.3], [1e-4, 1.0, 1.0]])
    output, velocity = (model(x, t, model.condition(known)) for model in made)
    torch.testing.assert_close(x - t[:, None, :, None, None] * velocity, output, atol=1e-5, rtol=1e-4)


def test_unknown_words_are_refused(miniature):
    with pytest.raises(UserError, match="expected latent_coding to be plain or changes, got delta"):
        miniature(latent_coding="delta")
    with pytest.raises(UserError, match="expected prediction to be velocity or sample, got noise"):
        miniature(prediction="noise")
