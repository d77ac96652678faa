"""Weights come back as they were written, in three formats, and what does not match is refused with one line."""

import dataclasses
import json
import re

import pytest
import torch
from prophrl_core.bundle import sha256_file
from prophrl_core.errors import UserError
from prophrl_world_model import checkpoints
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.config import CONFIGS, ProphetConfig, named
from prophrl_world_model.prophet import Prophet

# The original names of a Cosmos-Predict2 transformer's tensors beside diffusers', written out once more on purpose.
BLOCK = {
    **{f"{a}.{b}.weight": f"{c}.{d}.weight" for a, c in (("self_attn", "attn1"), ("cross_attn", "attn2")) for b, d in (
        ("q_proj", "to_q"), ("k_proj", "to_k"), ("v_proj", "to_v"), ("output_proj", "to_out.0"),
        ("q_norm", "norm_q"), ("k_norm", "norm_k"))},
    **{f"adaln_modulation_{a}.{i}.weight": f"{b}.linear_{i}.weight" for a, b in (
        ("self_attn", "norm1"), ("cross_attn", "norm2"), ("mlp", "norm3")) for i in (1, 2)},
    "mlp.layer1.weight": "ff.net.0.proj.weight", "mlp.layer2.weight": "ff.net.2.weight",
}  # fmt: skip
OUTSIDE = {
    "x_embedder.proj.1.weight": "patch_embed.proj.weight",
    "t_embedder.1.linear_1.weight": "time_embed.t_embedder.linear_1.weight",
    "t_embedder.1.linear_2.weight": "time_embed.t_embedder.linear_2.weight",
    "t_embedding_norm.weight": "time_embed.norm.weight",
    "final_layer.linear.weight": "proj_out.weight",
    "final_layer.adaln_modulation.1.weight": "norm_out.linear_1.weight",
    "final_layer.adaln_modulation.2.weight": "norm_out.linear_2.weight",
}
STREAMS = {
    **{f"action_embedder_B_{d}_agi.fc{i}.{w}": f"scalar_stream.to_{d}.fc{i}.{w}"
       for d in ("D", "3D") for i in (1, 2) for w in ("weight", "bias")},
    **{f"action_latent_cond.{n}": f"frame_stream.{n}" for n in (
        "proj_in.weight", "proj_in.bias", "dw_spatial.weight", "pw_spatial.weight",
        *[f"to_{d}.{i}.{w}" for d in ("D", "3D") for i in (0, 1) for w in ("weight", "bias")])},
    **{f"framepack_mem.proj.{i}.1.{w}": f"memory.levels.{i}.{w}" for i in range(3) for w in ("weight", "bias")},
    "mem_to_k.weight": "memory.to_k.weight", "mem_to_v.weight": "memory.to_v.weight",
}  # fmt: skip


def released_names(layers: int) -> dict[str, str]:
    """Original name to ours, for every tensor of the released checkpoint."""
    blocks = {
        f"blocks.{n}.{theirs}": f"transformer_blocks.{n}.{ours}"
        for n in range(layers)
        for theirs, ours in BLOCK.items()
    }
    return {f"net.{theirs}": ours for theirs, ours in {**OUTSIDE, **blocks, **STREAMS}.items()}


def filled(config: ProphetConfig) -> Prophet:
    torch.manual_seed(3)
    model = Prophet(config).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p)
    return model


def released_file(path, model: Prophet, change=lambda state: None):
    state = model.state_dict()
    out = {theirs: state[ours].clone() for theirs, ours in released_names(model.prophet.layers).items()}
    assert len(out) == len(state)
    out["net.pos_embedder.seq"] = torch.arange(4.0)
    out["net.accum_iteration"] = torch.tensor(7)
    out["net.blocks.0.self_attn.q_norm._extra_state"] = torch.zeros(1)
    change(out)
    torch.save(out, path)
    return sha256_file(path)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def refusal(call, *words: str) -> None:
    with pytest.raises(UserError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and all(w in message for w in ("expected", *words)), message


def test_prophet_2b_has_the_released_names_and_shapes():
    config = named("prophet-2b")
    with torch.device("meta"):
        state = Prophet(config).state_dict()
    ours = released_names(28)
    assert set(state) == set(ours.values())
    shapes = {theirs.removeprefix("net."): tuple(state[name].shape) for theirs, name in ours.items()}
    D = 2048
    for name, shape in {
        "action_embedder_B_D_agi.fc1.weight": (4 * D, 280), "action_embedder_B_D_agi.fc2.weight": (D, 4 * D),
        "action_embedder_B_3D_agi.fc2.weight": (3 * D, 4 * D), "action_latent_cond.proj_in.weight": (D, 16, 1, 1, 1),
        "action_latent_cond.dw_spatial.weight": (D, 1, 1, 3, 3), "action_latent_cond.to_3D.1.weight": (3 * D, D),
        "framepack_mem.proj.2.1.weight": (D, 16, 1, 1, 1), "mem_to_k.weight": (D, D),
        "x_embedder.proj.1.weight": (D, (16 + 2) * 4), "t_embedder.1.linear_2.weight": (3 * D, D),
        "blocks.27.cross_attn.k_proj.weight": (D, 1024), "blocks.0.mlp.layer1.weight": (4 * D, D),
        "blocks.0.adaln_modulation_mlp.2.weight": (3 * D, 256), "blocks.0.self_attn.q_norm.weight": (128,),
        "final_layer.linear.weight": (64, D), "final_layer.adaln_modulation.2.weight": (2 * D, 256),
    }.items():  # fmt: skip
        assert shapes[name] == shape, name
    assert config.history_order == "chronological" and config.latent_shape == (16, 6, 32, 32)


def test_a_released_file_comes_back_and_is_converted_once(miniature, tmp_path):
    model = filled(miniature(history_order="chronological"))
    digest = released_file(tmp_path / "prophet.pt", model)
    assert same(model, checkpoints.load_released(tmp_path / "prophet.pt", digest.upper(), model.prophet))
    autoencoder = VideoAutoencoder(model.prophet.autoencoder)
    autoencoder.wan.save_pretrained(tmp_path / "vae")
    checkpoints.convert_released(tmp_path / "prophet.pt", digest, tmp_path / "vae", model.prophet, tmp_path / "ours")
    again, autoencoder_again = checkpoints.load(tmp_path / "ours")
    assert same(model, again) and same(autoencoder, autoencoder_again) and again.prophet == model.prophet


def test_a_released_file_that_does_not_match_is_refused(miniature, tmp_path):
    config = miniature(history_order="chronological")
    model, path = filled(config), tmp_path / "prophet.pt"

    def read(config=config):
        return lambda: checkpoints.load_released(path, sha256_file(path), config)

    released_file(path, model, lambda s: s.pop("net.mem_to_k.weight"))
    refusal(read(), "lacks memory.to_k.weight")
    released_file(path, model, lambda s: s.update({"net.surprise.weight": torch.zeros(2)}))
    refusal(read(), "unknown surprise.weight")
    released_file(path, model, lambda s: s.update({"surprise": torch.zeros(2)}))
    refusal(read(), "net.*")
    released_file(path, model, lambda s: s["net.x_embedder.proj.1.weight"].fill_(float("nan")))
    refusal(read(), "finite", "patch_embed")
    released_file(path, model)
    refusal(read(miniature(history_order="chronological", heads=1)), "other shapes")
    refusal(read(miniature(history_order="none")), "unknown memory")
    refusal(lambda: checkpoints.load_released(path, "0" * 64, config), "SHA-256")
    torch.save({"net.x": re.compile("a")}, path)
    refusal(read(), "tensors alone")
    path.write_bytes(b"nothing of the kind")
    refusal(read(), "tensors alone")


def test_the_cosmos_base_in_diffusers_form(miniature, tmp_path):
    config = miniature()
    donor = Prophet(miniature(scalar_stream=False, frame_stream="none", history_order="none"))
    donor.save_pretrained(tmp_path / "transformer", max_shard_size="200KB")
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 1, "in shards"
    VideoAutoencoder(config.autoencoder).wan.save_pretrained(tmp_path / "vae")
    model, _ = checkpoints.load_cosmos_base(tmp_path, config)
    assert same(donor, model)
    refusal(lambda: checkpoints.load_cosmos_base(tmp_path, miniature(layers=3)), "num_layers 3, got 2")
    other = dataclasses.replace(config, autoencoder=dataclasses.replace(config.autoencoder, std=(1.0,) * 8))
    refusal(lambda: checkpoints.load_cosmos_base(tmp_path, other), "latents_std")


def test_our_folder_comes_back_and_is_checked(miniature, tmp_path):
    model, autoencoder = filled(miniature()), VideoAutoencoder(miniature().autoencoder)
    checkpoints.save(tmp_path, model, autoencoder, {"command": "test"})
    again, autoencoder_again = checkpoints.load(tmp_path)
    assert same(model, again) and same(autoencoder, autoencoder_again) and again.prophet == model.prophet
    checkpoints.save(tmp_path / "half", model, autoencoder, {}, dtype=torch.float16)
    half, _ = checkpoints.load(tmp_path / "half", torch.float32)
    assert half.dtype == torch.float32 and all(
        torch.equal(v, model.state_dict()[k].half().float()) for k, v in half.state_dict().items()
    )
    manifest = json.loads((tmp_path / "prophet.json").read_text())

    def rewritten(**changes):
        (tmp_path / "prophet.json").write_text(json.dumps({**manifest, **changes}))
        return lambda: checkpoints.load(tmp_path)

    refusal(rewritten(format="else"), "prophrl-prophet-1")
    refusal(rewritten(config={**manifest["config"], "wings": 2}), "wings")
    refusal(rewritten(config={**manifest["config"], "layers": 1}), "unknown transformer_blocks.1")
    for wrong in ({"memory_pools": []}, {"memory_pools": None}, {"action_scale": 3}, {"layers": "2"}):
        refusal(rewritten(config={**manifest["config"], **wrong}), "expected")
    squeezed = {**manifest["config"]["autoencoder"], "dim_mult": 7}
    refusal(rewritten(config={**manifest["config"], "autoencoder": squeezed}), "values that fit its fields")
    refusal(rewritten(sha256={}), "SHA-256")
    rewritten()
    (tmp_path / "prophet.safetensors").write_bytes(b"\0" * 100)
    refusal(lambda: checkpoints.load(tmp_path), "SHA-256", "prophet.safetensors")
    (tmp_path / "prophet.json").unlink()
    refusal(lambda: checkpoints.load(tmp_path), "prophet.json")


def test_every_named_config_survives_json():
    for config in CONFIGS.values():
        assert ProphetConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    refusal(lambda: named("prophet-9000"), "prophet-tiny")
