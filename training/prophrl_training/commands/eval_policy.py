"""``prophrl eval policy``: success of a bundle with its interval."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

HELP = "measure a policy bundle's success in the fast environment, on fresh scenes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--task", default="grasp_bottle", help="task name or YAML (default: %(default)s)")
    parser.add_argument("--cell", default="sim", help="cell name or YAML (default: %(default)s)")
    parser.add_argument("--n", type=int, default=200, help="trials (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="picks the scenes (default: %(default)s)")
    parser.add_argument(
        "--scenes",
        choices=("evaluation", "development"),
        default="evaluation",
        help="development: scenes to tune on, never reported (default: %(default)s)",
    )
    parser.add_argument("--backend", choices=("onnx", "torch"), default="onnx")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one per core")
    parser.add_argument("--json", type=Path, help="write the figure here")


def run(args: argparse.Namespace) -> int:
    from prophrl_core.cell import load_cell
    from prophrl_core.figures import success_figure, write_figures
    from prophrl_core.task import load_task

    from prophrl_training.evaluate_policy import evaluate
    from prophrl_training.seeds import scene_seeds

    task = load_task(args.task)
    seeds = scene_seeds(args.scenes, args.seed, args.n)
    done = []

    def progress(trial) -> None:
        done.append(trial)
        if len(done) % 20 == 0 or len(done) == args.n:
            print(f"{len(done)}/{args.n} trials, {sum(t.success for t in done)} successes", flush=True)

    started = time.monotonic()
    trials = evaluate(
        args.bundle, task, load_cell(args.cell), seeds, args.backend, workers=args.workers, progress=progress
    )
    figure = success_figure("policy.success", sum(t.success for t in trials), len(trials), args.seed)
    won = [t.steps * task.action.step_period for t in trials if t.success]
    print("| policy | task | success | 95 % interval | n | seed | mean time to success |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {args.bundle} | {task.name} | {100 * figure.value:.1f} % "
        f"| {100 * figure.low:.1f} to {100 * figure.high:.1f} % "
        f"| {figure.n} | {args.seed} | {sum(won) / max(1, len(won)):.1f} s |"
    )
    print(f"{time.monotonic() - started:.0f} s")
    if args.json:
        write_figures(args.json, [figure])
    return 0
