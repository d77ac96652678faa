"""Episodes become clips with the right frames, actions and histories, and come back from the cache as they were."""


import numpy as np
import pytest
import torch
from prophet_episode import VIEW, episode
from prophrl_core.errors import UserError
from prophrl_training import prophet_clips
from prophrl_training.prophet_clips import ClipChain, ClipDataset
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.imagination import View


def numbered_chain(config, clips, first):
    """A chain whose latents tell chain, clip and latent frame: first + 10 clip + frame."""
    C, T, h, w = config.latent_shape
    values = first + 10 * torch.arange(clips)[:, None] + torch.arange(T)
    latents = values.float()[:, None, :, None, None].expand(clips, C, T, h, w)
    return ClipChain(latents, values[:, :1, None].float().expand(clips, config.chunk_steps, 14), None)


def test_a_clip_is_what_the_autoencoder_makes_of_its_frames(miniature):
    config = miniature(frame_stream="tokens", frame_encoding="folded")
    torch.manual_seed(0)
    autoencoder, made = VideoAutoencoder(config.autoencoder).eval(), episode()
    made.check(config)
    chain = prophet_clips.encode_chain(made, config, autoencoder, phase=3, batch=1)
    assert len(chain) == 2 and chain.action_latents_NCThw.shape == (2, 48, *config.latent_shape[1:])
    with torch.no_grad():
        second = autoencoder.encode(torch.from_numpy(made.frames_FHW3[None, 11:20]))
    torch.testing.assert_close(chain.latents_NCThw[1:].float(), second, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(chain.actions_NKA[1, :, :7], made.actions_K7[11:19], rtol=1e-6)
    assert (chain.actions_NKA[..., 7:] == 0).all()
    assert prophet_clips.encode_chain(made, config, autoencoder, phase=13) is None


def test_a_batch_depends_on_seed_and_step_alone_and_its_history_is_the_clips_before(miniature):
    config = miniature()  # 3 latent frames a clip, 6 of history
    data = ClipDataset([numbered_chain(config, 4, 100), numbered_chain(config, 1, 500)], config)
    assert len(data) == 5
    lengths = set()
    for step in range(30):
        batch, again = data.batch(1, step, 6), data.batch(1, step, 6)
        assert torch.equal(batch.latents_BCThw, again.latents_BCThw)
        history = batch.history_BCThw
        lengths.add(0 if history is None else history.shape[2])
        for b in range(6):
            first = int(batch.latents_BCThw[b, 0, 0, 0, 0])
            assert int(batch.actions_BKA[b, 0, 0]) == first
            if history is not None:
                seen = history[b, 0, :, 0, 0].int().tolist()
                assert seen == [first - 8, first - 9, first - 10, first - 18, first - 19, first - 20][: len(seen)]
                assert first - 100 >= 10 * (len(seen) // 3), "no history from before the episode or another one"
    assert lengths == {0, 3, 6}
    assert not torch.equal(data.batch(1, 0, 6).latents_BCThw, data.batch(2, 0, 6).latents_BCThw)
    without = miniature(history_order="none")
    assert all(ClipDataset(data.chains, without).batch(0, s, 2).history_BCThw is None for s in range(9))


def test_the_cache_gives_back_what_it_got_and_refuses_another_encoding(miniature, tmp_path):
    config = miniature()
    chain, path = numbered_chain(config, 2, 100), tmp_path / "a" / "e-0.safetensors"
    ours = prophet_clips.encoding_id(config, "abc")
    assert ours != prophet_clips.encoding_id(config, "abd") != prophet_clips.encoding_id(miniature(width=32), "abd")
    chain = ClipChain(chain.latents_NCThw.contiguous(), chain.actions_NKA.contiguous(), None)
    prophet_clips.store_chain(path, chain, ours)
    again = prophet_clips.load_chain(path, ours)
    assert torch.equal(again.latents_NCThw, chain.latents_NCThw) and again.action_latents_NCThw is None
    with pytest.raises(UserError, match="encoded as other"):
        prophet_clips.load_chain(path, "other")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="expected cached clips"):
        prophet_clips.load_chain(path, ours)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"rate_hz": 5.0}, "rate 10.0 Hz, got 5.0 Hz"),
        ({"frames_FHW3": np.zeros((21, 64, 64, 3), np.uint8)}, "frames"),
        ({"frames_FHW3": np.zeros((21, 32, 48, 3))}, "pictures uint8, got float64"),
        ({"actions_K7": np.full((20, 7), np.nan)}, "finite"),
        ({"openness_F": np.zeros(20)}, "openness"),
        ({"view": View(VIEW.camera.scaled(64, 64), VIEW.T_base_camera)}, "camera"),
    ],
)
def test_an_episode_that_does_not_fit_is_one_line(miniature, changes, word):
    with pytest.raises(UserError) as error:
        episode(**changes).check(miniature())
    assert word in str(error.value) and "\n" not in str(error.value)


def test_no_clip_at_all_is_one_line(miniature):
    with pytest.raises(UserError, match="at least 8 steps"):
        ClipDataset([], miniature())
