"""``prophrl bench imagination --json F``: imagined frames per second beside diffusers' stock pipeline.

Both have transformers, latents and clips of equal size. A rollout is one chunk from one start: encode, draw action
frames, sample, decode. Prophet takes its rollouts in batches; the stock pipeline takes one picture a call. Without
``--weights`` both are random, which does not change their speed. They take turns, so that a busy machine slows both
alike.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.figures import Figure, write_figures

HELP = "imagined frames per second, against diffusers' stock pipeline"
STOCK = "diffusers pipeline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="prophet-tiny", help="default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a folder of Prophet weights instead of random ones")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16], help="rollouts at once (default: 1 4 16)")
    parser.add_argument("--few-steps", type=int, default=0, help="steps of the short sampler (default: what suits)")
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--compile", action="store_true", help="measure the compiled transformer, too")
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of each after one to warm up (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of every arithmetic (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def _starts(config, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (batch, config.height, config.width, 3), dtype=np.uint8)
    poses = np.stack([se3.pose_from_rotvec(p) for p in rng.normal(scale=0.1, size=(batch, 6))])
    chunk = rng.normal(scale=0.01, size=(batch, config.chunk_steps, 7))
    return frames, poses, rng.random(batch), chunk


def _imagine_once(env, batch: int, seed: int) -> Callable[[], int]:
    """A call that imagines one chunk of ``batch`` rollouts and returns the number of frames."""
    frames, poses, openness, chunk = _starts(env.model.prophet, batch, seed)

    def call() -> int:
        env.reset(frames, poses, openness, range(batch))
        return env.step(chunk).frames_NKHW3.shape[0] * env.chunk_steps

    return call


class _Unchecked:
    """In the place of the stock pipeline's safety checker, whose models are not part of a measurement."""

    def to(self, device):
        return self

    def check_video_safety(self, frames):
        return frames


def stock_pipeline(config, wan):
    """diffusers' Cosmos2VideoToWorldPipeline with a random transformer of equal size and the given autoencoder."""
    from diffusers import Cosmos2VideoToWorldPipeline, CosmosTransformer3DModel, FlowMatchEulerDiscreteScheduler

    transformer = CosmosTransformer3DModel(
        in_channels=config.autoencoder.channels + 1, out_channels=config.autoencoder.channels,
        num_attention_heads=config.heads, attention_head_dim=config.head_dim, num_layers=config.layers,
        mlp_ratio=config.mlp_ratio, text_embed_dim=config.text_dim or config.hidden, adaln_lora_dim=config.adaln_dim,
        max_size=config.max_size, patch_size=(1, config.patch, config.patch), rope_scale=config.rope_scale,
        concat_padding_mask=False, extra_pos_embed_type=None,
    )  # fmt: skip
    pipeline = Cosmos2VideoToWorldPipeline(
        text_encoder=None, tokenizer=None, transformer=transformer.eval(), vae=wan.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True), safety_checker=_Unchecked(),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _stock_once(config, seed: int) -> Callable[[], int]:
    """One rollout with the stock pipeline, one text token. Its autoencoder is the plain Wan arrangement.

    Where Prophet's folds pixels, it has half the width and one more level; where it has no layers, it is a small one.
    """
    import torch
    from PIL import Image
    from prophrl_world_model.autoencoder import VideoAutoencoder
    from prophrl_world_model.config import AutoencoderConfig, PatchesConfig

    plain = config.autoencoder
    if isinstance(plain, PatchesConfig):
        zeros, ones = (0.0,) * plain.channels, (1.0,) * plain.channels
        plain = AutoencoderConfig(
            base_dim=8, dim_mult=(1, 2, 4, 4), residual_blocks=1, channels=plain.channels, mean=zeros, std=ones
        )
    elif plain.pixel_patch == 2:
        plain = dataclasses.replace(
            plain, pixel_patch=1, base_dim=plain.base_dim // 2, dim_mult=(1, *(2 * m for m in plain.dim_mult[:-1]), 4)
        )
    pipeline = stock_pipeline(config, VideoAutoencoder(plain).wan)
    image = Image.fromarray(_starts(config, 1, seed)[0][0])
    text = torch.zeros(1, 1, config.text_dim or config.hidden)

    def call() -> int:
        pipeline(
            image=image, prompt_embeds=text, height=config.height, width=config.width,
            num_frames=config.chunk_steps + 1, num_inference_steps=35, guidance_scale=1.0, output_type="np",
        )  # fmt: skip
        return config.chunk_steps

    return call


def run(args: argparse.Namespace) -> int:
    import torch
    from prophrl_world_model import checkpoints
    from prophrl_world_model.autoencoder import make_autoencoder
    from prophrl_world_model.config import named
    from prophrl_world_model.imagination import ImaginationEnv, View
    from prophrl_world_model.prophet import Prophet
    from prophrl_world_model.sampler import FULL, SamplerConfig, for_steps

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.weights:
        model, autoencoder = checkpoints.load(args.weights, torch.float32)
        config = model.prophet
    else:
        config = named(args.config)
        model, autoencoder = Prophet(config).eval(), make_autoencoder(config.autoencoder).eval()
    focal = 1.25 * config.width
    camera = CameraModel(config.width, config.height, focal, focal, (config.width - 1) / 2, (config.height - 1) / 2)
    view = View(camera, se3.pose_from_rotvec(np.array([0.0, 0.0, 1.0, np.pi, 0.0, 0.0])))
    few = for_steps(args.few_steps, config)

    def environments(sampler: SamplerConfig):
        for dtype in args.dtypes:
            for compiled in (False, True) if args.compile else (False,):
                typed = model if dtype == "float32" else copy.deepcopy(model).to(getattr(torch, dtype))
                env = ImaginationEnv(typed, autoencoder, view, sampler)
                if compiled:
                    env.model = torch.compile(typed)
                yield dtype, compiled, env

    with torch.no_grad():
        contestants = {(STOCK, "35 steps", "float32", False, 1): _stock_once(config, args.seed)}
        for sampler, batches in ((few, args.batches), (FULL, args.batches[-1:])):
            for dtype, compiled, env in environments(sampler):
                for batch in batches:
                    key = (config.name, f"{sampler.steps} steps", dtype, compiled, batch)
                    contestants[key] = _imagine_once(env, batch, args.seed)
        speeds: dict[tuple, list[float]] = {key: [] for key in contestants}
        for turn in range(-1, args.rounds):
            for key, call in contestants.items():
                started = time.perf_counter()
                frames = call()
                if turn >= 0:
                    speeds[key].append(frames / (time.perf_counter() - started))
    medians = {key: float(np.median(values)) for key, values in speeds.items()}
    stock = next(value for key, value in medians.items() if key[0] == STOCK)
    print("| what | sampler | dtype | compiled | batch | frames/s | times stock |\n|---|---|---|---|---|---|---|")
    for (*words, compiled, batch), value in medians.items():
        cells = [*words, "yes" if compiled else "no", str(batch), f"{value:.1f}", f"{value / stock:.1f}"]
        print(f"| {' | '.join(cells)} |")
    if args.json:
        figures = []
        for (what, sampler, dtype, compiled, batch), value in medians.items():
            if what == STOCK:
                continue
            short = "" if sampler == f"{few.steps} steps" else ".full"
            plain = (dtype, compiled, batch, short) == ("float32", False, args.batches[-1], "")
            name = "imagination.frames_per_second" + (
                "" if plain else f"{short}.{dtype}{'.compiled' if compiled else ''}.batch_{batch}"
            )
            spread = speeds[(what, sampler, dtype, compiled, batch)]
            figures.append(
                Figure(
                    name, value, "frames/s", args.rounds, min(spread), max(spread), args.seed,
                    {"name": STOCK, "value": stock},
                )
            )  # fmt: skip
        write_figures(args.json, figures)
    return 0
