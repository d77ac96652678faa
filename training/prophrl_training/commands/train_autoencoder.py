"""``prophrl train autoencoder``: pictures of a dataset to the video autoencoder that Prophet works in."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

HELP = "train Prophet's video autoencoder on a dataset's pictures and write it with a fresh Prophet"
HELD_OUT = 0.03  # of the episodes
FITTED = 300  # batches are enough for an autoencoder of patches


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, required=True, help="LeRobot dataset with pictures of the model's size")
    parser.add_argument("--camera", default="front", help="camera of the dataset (default: %(default)s)")
    parser.add_argument("--config", default="prophet-tiny", help="named configuration (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2000, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="clips a step (default: %(default)s)")
    parser.add_argument("--clip", type=int, default=9, help="pictures a clip, 1 + 4 n (default: %(default)s)")
    parser.add_argument("--motion-weight", type=float, default=4.0, help="how much more moving pixels count")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of products")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="that train (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for progress and weights")
    parser.add_argument("--json", type=Path, help="write the held-out figures here")


def run(args: argparse.Namespace) -> int:
    import dataclasses

    import numpy as np
    import torch
    from prophrl_core.errors import UserError
    from prophrl_core.figures import Figure, mean_interval, report
    from prophrl_world_model import checkpoints
    from prophrl_world_model.autoencoder import make_autoencoder
    from prophrl_world_model.config import PatchesConfig, named
    from prophrl_world_model.prophet import Prophet
    from prophrl_world_model.training_losses import ReconstructionLossConfig
    from prophrl_world_model.video_metrics import psnr

    from prophrl_training.datasets.conversion import IMAGE_PREFIX
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.progress import Progress
    from prophrl_training.train_autoencoder import AutoencoderTraining, ClipSource, fit_patches, train_autoencoder

    if args.clip % 4 != 1 or args.clip < 5:
        raise UserError(f"--clip: expected 5, 9, 13 ..., got {args.clip}")
    if args.steps < 1 or args.batch < 1:
        raise UserError(f"expected --steps and --batch of 1 or more, got {args.steps} and {args.batch}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    prophet = named(args.config)
    dataset = open_dataset(args.dataset)
    order = np.random.default_rng(args.seed).permutation(len(dataset.episodes)).tolist()
    held_out = order[: max(1, round(HELD_OUT * len(order)))]
    key, size = IMAGE_PREFIX + args.camera, (prophet.width, prophet.height)
    source = ClipSource(dataset, key, size, sorted(set(order) - set(held_out)) or held_out)
    config = AutoencoderTraining(
        steps=args.steps, batch=args.batch, clip=args.clip, seed=args.seed, precision=args.precision,
        loss=ReconstructionLossConfig(motion_weight=args.motion_weight),
    )  # fmt: skip
    autoencoder, patches = make_autoencoder(prophet.autoencoder), isinstance(prophet.autoencoder, PatchesConfig)
    size = sum(value.numel() for value in autoencoder.stored.state_dict().values())
    print(f"{len(order) - len(held_out)} episodes; an autoencoder of {size / 1e6:.2f} M weights", flush=True)
    started = time.monotonic()
    if patches:
        trained = fit_patches(prophet.autoencoder, source, dataclasses.replace(config, steps=min(args.steps, FITTED)))
    else:
        autoencoder.initialise()
        trained = train_autoencoder(autoencoder, source, config, args.out, Progress(args.steps))
    clips = ClipSource(dataset, key, (prophet.width, prophet.height), held_out).batch(args.seed, 0, 32, args.clip)
    with torch.no_grad():
        parts = torch.from_numpy(clips).split(8)
        restored = torch.cat([trained.decode(trained.encode(part), part[:, 0]) for part in parts])
    quality = np.array([psnr(real, ours)[1:].mean() for real, ours in zip(clips, restored.numpy(), strict=True)])
    still = np.array([psnr(clip, np.broadcast_to(clip[:1], clip.shape).copy())[1:].mean() for clip in clips])
    torch.manual_seed(args.seed)
    origin = {"dataset": args.dataset.name, "seed": str(args.seed), "steps": str(args.steps), "stage": "autoencoder"}
    checkpoints.save(args.out, Prophet(dataclasses.replace(prophet, autoencoder=trained.config)), trained, origin)
    _show(args.out / "reconstructions.png", clips, restored.numpy())
    print(f"{time.monotonic() - started:.0f} s; see {args.out / 'reconstructions.png'}")
    rival = {"name": "first picture of the clip", "value": float(still.mean())}
    interval = mean_interval(quality, args.seed)
    figure = Figure("autoencoder.psnr", float(quality.mean()), "dB", len(clips), *interval, args.seed, rival)
    report([figure], args.json)
    return 0


def _show(path: Path, clips, restored) -> None:
    """Last pictures of clips, the real ones above."""
    import cv2
    import numpy as np

    rows = [np.concatenate([clip[-1] for clip in side[:8]], axis=1) for side in (clips, restored)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
