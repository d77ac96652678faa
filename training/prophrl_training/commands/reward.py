"""``prophrl train reward``: labelled clips in, a calibrated judge and its report out."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

HELP = "train and calibrate a small judge of success on labelled clips, real and imagined"
HELD_OUT_SHARE = 0.2  # of the episodes and of each imagined file; half of it calibrates, half is reported on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, required=True, help="episodes with pictures and outcomes")
    parser.add_argument("--task", help="task name or YAML (default: the dataset's)")
    parser.add_argument(
        "--imagined", type=Path, nargs="+", default=[], metavar="FILE",
        help="safetensors files of clips: frames (N, F, H, W, 3) and success (N, F), uint8; the last fifth is held out",
    )  # fmt: skip
    parser.add_argument("--episodes", type=int, default=1500, help="episodes to read at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and the training (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="judge (and baseline) to start from, a folder this command wrote")
    parser.add_argument("--baseline", action="store_true", help="also train the no-video baseline on the episodes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the judge: new, or a run to go on with")
    parser.add_argument("--threads", type=int, default=1, help="threads that train (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(args: argparse.Namespace) -> int:
    import torch
    from prophrl_core import replaced_folder
    from prophrl_core.errors import UserError
    from prophrl_core.figures import report

    from prophrl_training.classifier_files import load_classifier, save_classifier
    from prophrl_training.classifier_training import CURVE_NAME, ClassifierTraining
    from prophrl_training.curves import plot_curve
    from prophrl_training.judge import Judge, JudgeConfig
    from prophrl_training.judge_calibration import write_report
    from prophrl_training.labelled_clips import halves
    from prophrl_training.train_judge import by_kind, judge_figures, train_judge

    if args.steps < 1 or args.seed < 0 or args.episodes < 2:
        given = f"{args.steps}, {args.seed}, {args.episodes}"
        raise UserError(f"train reward: expected --steps from 1, --seed from 0, --episodes from 2, got {given}")
    replaced_folder.check_one(args.out, _is_ours, "a judge")
    torch.set_num_threads(args.threads)
    start = load_classifier(args.weights, Judge) if args.weights else None
    config = start.config if start else JudgeConfig()
    training = ClassifierTraining(steps=args.steps, seed=args.seed)
    learned, held_out = _clips(args, config.size)
    calibrating, reported = halves(held_out)
    print(f"clips: {len(learned)} to train on, {len(calibrating)} to calibrate with, {len(reported)} to report on")

    origin = {"command": _command(args), "seed": str(args.seed)}
    folder = args.out / "judge_training"
    judge = train_judge(learned, calibrating, config, training, folder, lambda row: _report(row, args.steps), start)
    save_classifier(args.out, judge, origin)
    plot_curve(folder / CURVE_NAME, args.out / "curve.png", "cross entropy")
    kinds = by_kind(judge, reported)
    figures = judge_figures(judge, kinds, args.seed)
    counts = f"{len(learned)} trained it, {len(calibrating)} calibrated it, {len(reported)} are below"
    facts = origin | {"clips": counts}
    write_report(args.out, f"judge of {args.dataset.name}", facts, figures, kinds, judge.calibration)
    if args.baseline:
        figures += _baseline(args, training, origin, learned, held_out)
    report(figures, args.json)
    print(f"wrote {args.out}: threshold {judge.calibration.threshold:.3f}, see {args.out / 'report.html'}")
    return 0


def _is_ours(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("judge.json", "judge_training"))


def _clips(args: argparse.Namespace, size: int) -> tuple[list, list]:
    """Clips to train on and held out, from the dataset and the imagined files."""
    from prophrl_core.errors import UserError
    from prophrl_core.task import load_task

    from prophrl_training.datasets.metadata_writer import OWN_KEY
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.labelled_clips import held_out_episodes, read_episodes, read_imagined

    imagined = [read_imagined(path, size) for path in args.imagined]  # first: a wrong file costs no reading
    dataset = open_dataset(args.dataset)
    try:
        name = args.task or (dataset.info.get(OWN_KEY) or {}).get("task")
        if not isinstance(name, str):
            raise UserError(f"{args.dataset}: expected a dataset that names its task, it does not; give --task")
        image = load_task(name).image
        both = []
        for what, positions in zip(
            ("episodes", "held-out episodes"),
            held_out_episodes(dataset, HELD_OUT_SHARE, args.seed, args.episodes), strict=True,
        ):  # fmt: skip
            print(f"reading {len(positions)} {what}", flush=True)
            both.append(read_episodes(dataset, positions, image, size, lambda done, total: None))
    finally:
        dataset.close()
    learned, held_out = both
    for clips in imagined:
        kept = len(clips) - round(HELD_OUT_SHARE * len(clips))
        learned, held_out = learned + clips[:kept], held_out + clips[kept:]
    return learned, held_out


def _baseline(args: argparse.Namespace, training, origin: dict[str, str], learned: list, held_out: list) -> list:
    """Train and write the no-video baseline; its figure on held-out trajectories."""
    from prophrl_training.classifier_files import load_classifier, save_classifier
    from prophrl_training.outcome_predictor import (
        OutcomePredictor,
        PredictorConfig,
        predictor_figure,
        train_predictor,
    )

    learned, held_out = ([clip for clip in clips if not clip.imagined] for clips in (learned, held_out))
    start = load_classifier(args.weights, OutcomePredictor) if args.weights else None
    config, folder = start.config if start else PredictorConfig(), args.out / "baseline_training"
    predictor = train_predictor(
        learned, held_out, config, training, folder, lambda row: _report(row, args.steps), start
    )
    save_classifier(args.out, predictor, origin)
    return [predictor_figure(predictor, held_out, args.seed)]


def _command(args: argparse.Namespace) -> str:
    words = ["./prophrl", "train", "reward", "--dataset", str(args.dataset)]
    words += ["--task", args.task] if args.task else []
    words += ["--imagined", *map(str, args.imagined)] if args.imagined else []
    words += ["--weights", str(args.weights)] if args.weights else []
    words += ["--baseline"] if args.baseline else []
    words += ["--episodes", str(args.episodes), "--seed", str(args.seed), "--steps", str(args.steps)]
    return shlex.join([*words, "--out", str(args.out)])


def _report(row: dict[str, float], steps: int) -> None:
    left = row["seconds"] / row["step"] * (steps - row["step"])
    held_out = "" if row["validation_loss"] != row["validation_loss"] else f"  held out {row['validation_loss']:.4f}"
    print(f"step {row['step']:5d}/{steps}  loss {row['loss']:.4f}{held_out}  {left / 60:.1f} min left", flush=True)
