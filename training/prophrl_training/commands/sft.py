"""``prophrl train sft``: demonstrations in, a policy bundle out."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import shlex
import sys
from pathlib import Path

HELP = "train a policy on demonstrations, of the scripted expert or recorded, and write a bundle"
VALIDATION_SHARE = 0.1  # of a dataset's episodes, when it has no split of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="grasp_bottle", help="task name or YAML (default: %(default)s)")
    parser.add_argument("--cell", default="sim", help="cell name or YAML (default: %(default)s)")
    parser.add_argument("--demos", type=int, default=40, help="demonstrations to learn from (default: %(default)s)")
    parser.add_argument("--dataset", type=Path, help="learn from this converted dataset instead of --demos")
    parser.add_argument("--seed", type=int, default=0, help="of demonstrations and training (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write: new, or a bundle")
    parser.add_argument("--run", type=Path, help="folder for progress (default: runs/sft/<task>-<source>-<seed>)")
    parser.add_argument("--workers", type=int, default=0, help="processes that collect; 0: one per core")
    parser.add_argument("--threads", type=int, default=1, help="threads that train (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import torch
    from prophrl_core.bundle import BundleManifest, check_bundle_place
    from prophrl_core.cell import load_cell
    from prophrl_core.task import load_task
    from prophrl_policy.export_onnx import write_policy_bundle
    from prophrl_policy.normalisation import Statistics
    from prophrl_policy.small_policy import SmallPolicy, SmallPolicyConfig

    from prophrl_training.curves import plot_curve
    from prophrl_training.dataset import ChunkDataset
    from prophrl_training.sft import CURVE_NAME, SftConfig, Trainer

    check_bundle_place(args.out)  # now, not after the training
    task, cell = load_task(args.task), load_cell(args.cell)
    folder = args.run or Path("runs") / "sft" / f"{task.name}-{_source(args)}-{args.seed}"
    if args.dataset:
        demonstrations, held_out = _recorded(task, args)
    else:
        demonstrations = _demonstrations(task, cell, "demonstrations", args.demos, args, folder)
        held_out = _demonstrations(task, cell, "validation", max(1, args.demos // 10), args, folder)
    statistics = Statistics.measure(demonstrations.actions_ND, demonstrations.proprio_NP)
    chunk_steps = task.action.chunk_steps
    seen_by = cell.camera(task.image.camera), task.image
    training = ChunkDataset(demonstrations, statistics, chunk_steps, *seen_by)
    validation = ChunkDataset(held_out, statistics, chunk_steps, *seen_by)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    network_config = SmallPolicyConfig(
        image_size=task.image.size, action_dim=task.action.dims, chunk_steps=chunk_steps
    )
    network = SmallPolicy(network_config)
    size = sum(p.numel() for p in network.parameters())
    print(f"{task.name}: {demonstrations.episodes} demonstrations, {len(training)} steps; {size / 1e6:.1f} M weights")
    config = SftConfig(steps=args.steps, seed=args.seed)
    trainer = Trainer(network, config, folder, statistics)
    last = trainer.run(training, validation, lambda row: _report(row, config.steps))
    plot_curve(folder / CURVE_NAME, folder / "curve.png")

    averaged = trainer.averaged_network()
    metrics = {
        "demonstrations": float(demonstrations.episodes),
        "demonstration_steps": float(len(training)),
        "optimiser_steps": float(config.steps),
        "training_seconds": round(last["seconds"], 1),
        "loss": round(last["loss"], 5),
        "validation_loss": round(trainer.validate(validation), 5),
    }
    manifest = BundleManifest(
        name=f"{task.name}/sft",
        task=task.name,
        instruction=task.instruction,
        architecture="small_flow",
        architecture_config=dataclasses.asdict(network_config),
        action=task.action,
        spec_id=task.action.id,
        image=task.image,
        proprioception_dims=network_config.proprio_dim,
        flow_steps=network_config.flow_steps,
        statistics_sha256="",
        command=_command(args),
        seed=args.seed,
        metrics=metrics,
        files={},
        created=datetime.date.today().isoformat(),
    )
    extra = {name: folder / name for name in (CURVE_NAME, "curve.png")}
    first = held_out.images_NSSC[0], held_out.proprio_NP[0]
    bundle = write_policy_bundle(args.out, averaged, statistics, manifest, *first, extra)
    megabytes = sum(entry.bytes for entry in bundle.manifest.files.values()) / 1e6
    print(f"wrote {bundle.path} ({megabytes:.1f} MB), version {bundle.version}")
    return 0


def _demonstrations(task, cell, use: str, n: int, args: argparse.Namespace, folder: Path):
    """Demonstrations for ``use``, collected once and kept in the run's folder."""
    from prophrl_core.errors import UserError
    from prophrl_sim.imperfection import Imperfections

    from prophrl_training.demonstrations import Demonstrations, collect
    from prophrl_training.seeds import scene_seeds

    path = folder / f"{use}.npz"
    seeds = scene_seeds(use, args.seed, n)
    if path.is_file():
        found = Demonstrations.load(path)
        if list(found.scene_seeds_E) != list(seeds) or found.facts["spec_id"] != task.action.id:
            raise UserError(f"{path}: holds other demonstrations than asked for; give another --run or delete it")
        return found
    collected = collect(
        task, cell, seeds, Imperfections.human(), args.workers, lambda done, total: _progress(use, done, total)
    )
    collected.save(path)
    return collected


def _source(args: argparse.Namespace) -> str:
    """What the run learns from, in a folder's name; two datasets of one name are two sources."""
    if not args.dataset:
        return str(args.demos)
    place = args.dataset.resolve()
    return f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}"


def _recorded(task, args: argparse.Namespace):
    """Demonstrations to train on and to validate with, from ``--dataset``."""
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.recorded_demonstrations import recorded_demonstrations

    dataset = open_dataset(args.dataset)
    try:
        return recorded_demonstrations(
            dataset, task, VALIDATION_SHARE, args.seed, lambda done, total: _progress("episodes", done, total)
        )
    finally:
        dataset.close()


def _command(args: argparse.Namespace) -> str:
    source = ["--dataset", str(args.dataset)] if args.dataset else ["--demos", str(args.demos)]
    words = ["./prophrl", "train", "sft", "--task", args.task, "--cell", args.cell, *source]
    words += ["--seed", str(args.seed), "--steps", str(args.steps), "--out", str(args.out)]
    return shlex.join(words)


def _progress(what: str, done: int, total: int) -> None:
    end = "\n" if done == total or not sys.stdout.isatty() else ""
    if end == "" or done == total or done % 10 == 0:
        print(f"\rcollecting {what}: {done}/{total}", end=end, flush=True)


def _report(row: dict[str, float], steps: int) -> None:
    left = row["seconds"] / row["step"] * (steps - row["step"])
    held_out = "" if row["validation_loss"] != row["validation_loss"] else f"  held out {row['validation_loss']:.4f}"
    losses = f"loss {row['loss']:.4f}  place {row['place_loss']:.3f}{held_out}"
    print(f"step {row['step']:5d}/{steps}  {losses}  {left / 60:.1f} min left", flush=True)
