"""``prophrl train prophet``: pre-train Prophet, or adapt it to a cell from about a hundred episodes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

HELP = "train or adapt Prophet, the action-conditioned video world model, on datasets of episodes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, action="append", required=True, help="LeRobot dataset; may be repeated")
    parser.add_argument("--task", default="grasp_bottle", help="task name or YAML (default: %(default)s)")
    parser.add_argument("--cell", help="cell YAML whose camera took the pictures, for episodes that do not say it")
    parser.add_argument(
        "--weights", type=Path, required=True, help="folder to start from: an autoencoder's or Prophet's"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for progress and weights")
    parser.add_argument("--episodes", type=int, help="so many episodes of each dataset, drawn by --seed (default: all)")
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="clips a step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="peak (default: %(default)s)")
    parser.add_argument("--lora", type=int, help="rank of adapters instead of training all weights")
    parser.add_argument("--phases", type=int, default=1, help="starts of chains within a chunk (default: %(default)s)")
    parser.add_argument("--motion-weight", type=float, default=2.0, help="how much more changing latents count")
    parser.add_argument("--blank-share", type=float, default=1.0, help="of clips foretold in one step, without noise")
    parser.add_argument("--state-weight", type=float, default=0.5, help="of the loss on objects, contact, success")
    parser.add_argument("--contact-share", type=float, default=0.4, help="of clips in which something is touched")
    parser.add_argument(
        "--own-context", type=int, default=0, metavar="N",
        help="so many episodes of each dataset once more, given frames that --weights imagined, against drift",
    )  # fmt: skip
    parser.add_argument("--given-noise", type=float, default=0.1, help="noise on the given frame, against drift")
    parser.add_argument("--decoder-steps", type=int, default=0, help="first sharpen a Wan autoencoder's pictures")
    parser.add_argument("--from-scratch", action="store_true", help="keep the autoencoder of --weights only")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of products")
    parser.add_argument("--checkpointing", action="store_true", help="less memory for more time")
    parser.add_argument("--cache", type=Path, help="folder of encoded clips (default: <out>/clips)")
    parser.add_argument("--seed", type=int, default=0, help="of episodes, weights and batches (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="that train (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import torch
    from prophrl_core.bundle import sha256_file
    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError
    from prophrl_core.task import load_task
    from prophrl_world_model import checkpoints
    from prophrl_world_model.prophet import Prophet
    from prophrl_world_model.training_losses import FlowLossConfig

    from prophrl_training.adapt_prophet import ProphetTraining, train
    from prophrl_training.clip_cache import cached_chains
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.progress import Progress
    from prophrl_training.prophet_clips import ClipDataset
    from prophrl_training.prophet_episodes import chosen_positions

    for name in ("steps", "batch", "episodes", "lora"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise UserError(f"--{name}: expected 1 or more, got {value}")
    if args.decoder_steps < 0 or (args.decoder_steps and len(args.dataset) > 1):
        raise UserError("--decoder-steps: expected 0 or more, and one --dataset: a decoder is sharpened for one cell")
    if args.own_context < 0 or (args.own_context and args.from_scratch):
        raise UserError("--own-context: expected 0 or more, and weights that imagine, not --from-scratch")
    torch.set_num_threads(args.threads)
    task, cell = load_task(args.task), load_cell(args.cell) if args.cell else None
    model, autoencoder = checkpoints.load(args.weights, torch.float32)
    torch.manual_seed(args.seed)  # of fresh weights and of adapters
    if args.from_scratch:
        model = Prophet(model.prophet)
    digest = sha256_file(args.weights / checkpoints.AUTOENCODER)
    chains, used, started = [], 0, time.monotonic()
    for folder in args.dataset:
        dataset = open_dataset(folder)
        positions = chosen_positions(dataset, args.episodes, args.seed)
        used += len(positions)
        chains += cached_chains(
            dataset, positions, task, cell, model.prophet, autoencoder, digest, args.phases,
            args.cache or args.out / "clips", _encoded,
        )  # fmt: skip
        if args.own_context:
            spread = positions[:: -(-len(positions) // args.own_context)]
            chains += _own_chains(dataset, spread, model, autoencoder, task, cell, args.seed)
    clips = ClipDataset(chains, model.prophet, args.contact_share)
    print(f"{used} episodes, {len(clips)} clips, {time.monotonic() - started:.0f} s; {_size(model)}", flush=True)
    config = ProphetTraining(
        steps=args.steps, batch=args.batch, seed=args.seed, learning_rate=args.learning_rate, lora_rank=args.lora,
        precision=args.precision, gradient_checkpointing=args.checkpointing,
        loss=FlowLossConfig(
            motion_weight=args.motion_weight, given_noise=args.given_noise, state_weight=args.state_weight,
            blank_share=args.blank_share,
        ),
    )  # fmt: skip
    origin = {
        "datasets": " ".join(folder.name for folder in args.dataset), "episodes": str(used), "seed": str(args.seed),
        "steps": str(args.steps), "from": "scratch" if args.from_scratch else args.weights.name,
    }  # fmt: skip
    if args.own_context:
        origin["own_context"] = str(args.own_context)
    if args.decoder_steps and not model.prophet.codes_changes:
        autoencoder = _sharpened(args, autoencoder, model.prophet, dataset, positions, task)
        origin["decoder_steps"] = str(args.decoder_steps)
    model.requires_grad_(True)
    train(model, autoencoder, clips, config, args.out, origin, Progress(args.steps, log=args.out / "loss.csv"))
    print(f"{args.out}: {time.monotonic() - started:.0f} s in all")
    return 0


def _own_chains(dataset, positions: list[int], model, autoencoder, task, cell, seed: int) -> list:
    """Chains of the episodes at ``positions``, given frames that ``model`` imagined."""
    from prophrl_world_model.imagination import ImaginationEnv
    from prophrl_world_model.sampler import for_steps

    from prophrl_training.own_context import own_chains
    from prophrl_training.prophet_episodes import read_prophet_episodes

    episodes = list(read_prophet_episodes(dataset, model.prophet, task, cell, positions))
    sampler = for_steps(0, model.prophet)

    def environment(view) -> ImaginationEnv:
        return ImaginationEnv(model, autoencoder, view, sampler, batch=32, bfloat16=True)

    def imagined(done: int, total: int) -> None:
        print(f"imagined {done}/{total} episodes", flush=True)

    return list(own_chains(episodes, environment, seed, imagined))


def _sharpened(args: argparse.Namespace, autoencoder, config, dataset, positions: list[int], task):
    """The autoencoder with a decoder that knows the cell; its latents stay what Prophet was trained on."""
    from prophrl_training.datasets.conversion import IMAGE_PREFIX
    from prophrl_training.progress import Progress
    from prophrl_training.train_autoencoder import AutoencoderTraining, ClipSource, train_autoencoder

    source = ClipSource(dataset, IMAGE_PREFIX + task.image.camera, (config.width, config.height), positions)
    training = AutoencoderTraining(
        steps=args.decoder_steps, batch=3, seed=args.seed, learning_rate=1e-3, precision=args.precision,
        decoder_only=True,
    )  # fmt: skip
    return train_autoencoder(autoencoder, source, training, args.out, Progress(args.decoder_steps))


def _encoded(done: int, total: int) -> None:
    if done % 25 == 0 or done == total:
        print(f"encoded {done}/{total} episodes", flush=True)


def _size(model) -> str:
    return f"{model.prophet.name} of {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights"
