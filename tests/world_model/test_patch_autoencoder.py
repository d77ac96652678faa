"""Patches on principal components: what stands still is nothing, few components hold what they were fitted on."""

import dataclasses

import pytest
import torch
from prophrl_core.errors import UserError
from prophrl_world_model import checkpoints
from prophrl_world_model.autoencoder import make_autoencoder
from prophrl_world_model.config import CONFIGS, PatchesConfig, ProphetConfig
from prophrl_world_model.patch_autoencoder import PatchAutoencoder
from prophrl_world_model.prophet import Prophet

CONFIG = PatchesConfig(channels=12)


def clips(count, seed, width=48):
    """Clips (count, 9, 32, width, 3) of random colours: a lighter square moves right over what stands still."""
    generator = torch.Generator().manual_seed(seed)
    still = torch.randint(40, 160, (count, 1, 4, width // 8, 3), generator=generator, dtype=torch.uint8)
    frames = still.repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 9, -1, -1, -1).clone()
    for n in range(count):
        row, column = (int(torch.randint(0, 20, (), generator=generator)) for _ in range(2))
        for f in range(9):
            frames[n, f, row : row + 10, column + 2 * f : column + 2 * f + 10] += 60
    return frames


@pytest.fixture(scope="module")
def fitted():
    autoencoder = PatchAutoencoder(CONFIG)
    autoencoder.fit(clips(64, 0))
    return autoencoder


def test_a_still_clip_is_zero_after_its_first_latent_and_comes_back_exactly(fitted):
    still = clips(3, 1)[:, :1].expand(-1, 9, -1, -1, -1)
    latents = fitted.encode(still)
    assert latents.shape == (3, 12, 3, 4, 6)
    assert (latents[:, :, 1:] == 0).all() and latents[:, :, 0].std() > 0.1
    torch.testing.assert_close(fitted.encode(still[:, :1]), latents[:, :, :1])
    assert torch.equal(fitted.decode(latents, still[:, 0]), still)


def test_only_patches_that_change_are_touched_and_more_components_come_closer(fitted):
    unseen, errors = clips(16, 7), []
    for autoencoder in (fitted, PatchAutoencoder(PatchesConfig(channels=48))):
        if autoencoder is not fitted:
            autoencoder.fit(clips(64, 0))
        decoded = autoencoder.decode(autoencoder.encode(unseen), unseen[:, 0])
        errors.append((decoded.float() - unseen).abs().mean())
        changed = (unseen != unseen[:, :1]).any(-1).any(1).unflatten(1, (4, 8)).unflatten(3, (6, 8)).any(4).any(2)
        kept = (decoded == unseen[:, :1]).all(-1).all(1).unflatten(1, (4, 8)).unflatten(3, (6, 8)).all(4).all(2)
        assert (kept | changed).all(), "a patch in which nothing changes keeps its pixels"
    copied = (unseen[:, :1].float() - unseen).abs().mean()
    assert errors[1] < errors[0] < 0.5 * copied


def test_all_components_lose_nothing():
    """A patch has 768 numbers in four frames, a given one 192: with as many components the given frame is exact."""
    autoencoder, unseen = PatchAutoencoder(PatchesConfig(channels=192)), clips(4, 3)
    autoencoder.fit(clips(64, 0))
    given = autoencoder.encode(unseen[:, :1])[:, :, 0].permute(0, 2, 3, 1) * autoencoder.given_scale
    rows = given @ autoencoder.given_axes + autoencoder.mean
    pixels = (rows.unflatten(3, (8, 8, 3)).permute(0, 1, 3, 2, 4, 5).reshape(4, 32, 48, 3) + 1) * 127.5
    torch.testing.assert_close(pixels, unseen[:, 0].float(), atol=0.1, rtol=0)


def test_clips_in_which_nothing_moves_fit_nothing():
    with pytest.raises(ValueError, match="expected 24 patches that change, got 0"):
        PatchAutoencoder(CONFIG).fit(clips(4, 0)[:, :1].expand(-1, 9, -1, -1, -1))
    with pytest.raises(ValueError, match="expected 1 . 4 n frames, got 8"):
        PatchAutoencoder(CONFIG).encode(clips(1, 0)[:, :8])


def test_it_is_kept_with_its_prophet(fitted, miniature, tmp_path):
    config = miniature(autoencoder=CONFIG, frame_encoding="folded", prediction="sample", text_dim=None)
    assert ProphetConfig.from_dict(dataclasses.asdict(config)) == config and config.codes_changes
    checkpoints.save(tmp_path, Prophet(config), fitted, {})
    loaded, autoencoder = checkpoints.load(tmp_path)
    assert loaded.prophet == config and isinstance(autoencoder, PatchAutoencoder)
    for name, value in fitted.state_dict().items():
        assert torch.equal(autoencoder.state_dict()[name], value), name
    assert isinstance(make_autoencoder(CONFIGS["prophet-tiny"].autoencoder), PatchAutoencoder)


def test_configurations_that_cannot_be_are_refused(miniature):
    for wrong in ({"patch": 4}, {"channels": 0}, {"channels": 193}):
        with pytest.raises(UserError, match="expected patches of 8 or 16 pixels and 1 to"):
            PatchesConfig(**wrong)
    for wrong in ({"layers": 10**9}, {"heads": 0}, {"head_dim": 2.0}, {"history_frames": True}):
        with pytest.raises(UserError, match=r"expected \w+ from \d+ to \d+, got"):
            miniature(**wrong)
    with pytest.raises(UserError, match="expected base_dim from 1 to 512, got 100000000"):
        dataclasses.replace(miniature().autoencoder, base_dim=10**8)
    with pytest.raises(UserError, match="expected frame_encoding to be folded, where latents are changes"):
        miniature(autoencoder=CONFIG, frame_encoding="autoencoder")
    with pytest.raises(UserError, match="expected prediction to be velocity or sample, got noise"):
        miniature(prediction="noise")


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
