"""Prophet is its base when fresh, listens to each stream when not, and treats batches and known frames right."""

import pytest
import torch
from diffusers import CosmosTransformer3DModel
from prophrl_core.errors import UserError
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.prophet import Prophet


def base_of(config: ProphetConfig) -> CosmosTransformer3DModel:
    return CosmosTransformer3DModel(
        in_channels=config.autoencoder.channels + 1, out_channels=config.autoencoder.channels,
        num_attention_heads=config.heads, attention_head_dim=config.head_dim, num_layers=config.layers,
        mlp_ratio=config.mlp_ratio, text_embed_dim=config.text_dim, adaln_lora_dim=config.adaln_dim,
        max_size=config.max_size, patch_size=(1, config.patch, config.patch), rope_scale=config.rope_scale,
        concat_padding_mask=False, extra_pos_embed_type=None,
    )  # fmt: skip


def inputs(config: ProphetConfig, batch: int, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    C, T, H, W = config.latent_shape
    x, t = torch.randn(batch, C, T, H, W, generator=g), torch.rand(batch, T, generator=g)
    known = torch.zeros(batch, T)
    known[:, 0] = 1
    return {
        "x": x, "t": t, "known": known,
        "actions": torch.randn(batch, config.chunk_steps, config.arms * 7, generator=g),
        "frames": torch.randn(batch, C, T, H, W, generator=g),
        "history": torch.randn(batch, C, 5, H, W, generator=g),
        "text": torch.randn(batch, 3, config.text_dim or 1, generator=g),
    }  # fmt: skip


def run(model: Prophet, i: dict, streams=("actions", "frames", "history", "text")) -> torch.Tensor:
    condition = model.condition(
        i["known"], *[i[s] if s in streams else None for s in ("actions", "frames", "history", "text")]
    )
    with torch.no_grad():
        return model(i["x"], i["t"], condition)


def stirred(config: ProphetConfig) -> Prophet:
    """A Prophet in which nothing is zero any more."""
    torch.manual_seed(1)
    model = Prophet(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


@pytest.mark.parametrize("stream", ["pooled", "tokens"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_fresh_prophet_is_its_base(miniature, stream, batch):
    config = miniature(frame_stream=stream)
    torch.manual_seed(0)
    base, model = base_of(config).eval(), Prophet(config).eval()
    wrong = model.load_state_dict(base.state_dict(), strict=False)
    assert not wrong.unexpected_keys
    assert {k.split(".")[0] for k in wrong.missing_keys} == {"scalar_stream", "frame_stream", "memory"}
    i = inputs(config, batch)
    mask = i["known"][:, None, :, None, None].expand(batch, 1, *i["x"].shape[2:])
    with torch.no_grad():
        expected = base(i["x"], i["t"][:, None, :, None, None], i["text"], condition_mask=mask, return_dict=False)[0]
    for streams in (("actions", "frames", "text"), ("text",)):
        torch.testing.assert_close(run(model, i, streams), expected, rtol=0, atol=1e-6)
    assert torch.equal(run(model, i, ("actions", "frames", "text")), run(model, i, ("text",)))


def test_no_text_is_zero_text(miniature):
    model = stirred(miniature())
    i = inputs(model.prophet, 2)
    i["text"] = torch.zeros_like(i["text"])
    torch.testing.assert_close(run(model, i), run(model, i, ("actions", "frames", "history")), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stream", ["pooled", "tokens"])
def test_every_stream_is_heard_and_a_batch_is_its_members(miniature, stream):
    model = stirred(miniature(frame_stream=stream))
    i = inputs(model.prophet, 3)
    whole = run(model, i)
    for name in ("actions", "frames", "history", "text"):
        assert (run(model, {**i, name: i[name].flip(0)}) - whole)[0].abs().max() > 1e-3, name
    for b in range(3):
        alone = run(model, {k: v[b : b + 1] for k, v in i.items()})
        torch.testing.assert_close(alone, whole[b : b + 1], rtol=1e-4, atol=1e-5)


def test_action_frames_of_known_frames_do_not_count(miniature):
    for stream in ("pooled", "tokens"):
        model = stirred(miniature(frame_stream=stream))
        i = inputs(model.prophet, 1)
        changed = i["frames"].clone()
        changed[:, :, 0] += 1
        assert torch.equal(run(model, {**i, "frames": changed}), run(model, i))
        changed[:, :, 1] += 1
        assert not torch.equal(run(model, {**i, "frames": changed}), run(model, i))


def test_the_memory_gives_the_newest_frames_the_most_tokens(miniature):
    config = miniature()  # latents 4 x 6, pools 1, 2, 4 (the last leaves 1 x 1)
    newest = stirred(config).memory
    key, _ = newest(torch.randn(1, 8, 5, 4, 6))
    assert key.shape == (1, 24 + 6 + 3 * 1, config.hidden)
    chronological = Prophet(miniature(history_order="chronological")).memory
    chronological.load_state_dict(newest.state_dict())
    history = torch.randn(1, 8, 5, 4, 6)
    assert torch.equal(chronological(history)[0], newest(history.flip(2))[0])
    short = Prophet(miniature(memory_tokens=10)).memory
    assert short(history)[0].shape[1] == 10


def test_a_config_that_cannot_be_built_is_one_line(miniature):
    for change in ({"height": 40}, {"chunk_steps": 10}, {"memory_pools": (2, 8)}, {"frame_stream": "all"}):
        with pytest.raises(UserError) as error:
            miniature(**change)
        assert "expected" in str(error.value) and "\n" not in str(error.value)
