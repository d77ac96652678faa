"""``prophrl eval prophet``: how faithful a Prophet's prophecies of recorded episodes are, beside its rivals'."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

HELP = "measure a Prophet's prophecies of recorded episodes against what happened"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="folder of the Prophet")
    parser.add_argument("--episodes", type=Path, help="dataset it was not trained on")
    parser.add_argument("--gate", action="store_true", help="instead: does it rank rollouts in an unseen cell? (long)")
    parser.add_argument("--starts", type=int, default=64, help="gate: groups of rollouts (default: %(default)s)")
    parser.add_argument("--group", type=int, default=8, help="gate: rollouts of a group (default: %(default)s)")
    parser.add_argument("--adapt-steps", type=int, default=500, help="gate: of adaptation (default: %(default)s)")
    parser.add_argument("--task", default="grasp_bottle", help="task name or YAML (default: %(default)s)")
    parser.add_argument("--cell", help="cell YAML whose camera took the pictures, for episodes that do not say it")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="another Prophet for the same tables, such as one without action frames or history; may be repeated",
    )
    parser.add_argument("--n", type=int, default=32, help="episodes (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=6, help="of them on the page (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of choice, noise and intervals (default: %(default)s)")
    parser.add_argument(
        "--sampler", choices=("few", "full"), default="few", help="steps that suit the weights, or the base's 35"
    )
    parser.add_argument("--batch", type=int, default=8, help="rollouts at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of every arithmetic (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="of the networks (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the page (default: runs/eval_prophet/<weights>-<seed>)")
    parser.add_argument("--json", type=Path, help="write the figures here")


def rivals(words: list[str]) -> dict[str, Path]:
    """The folders of ``--against`` by name; UserError for a name that cannot be part of a figure's."""
    from prophrl_core.errors import UserError

    from prophrl_training.prophet_scores import OURS

    found: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if not folder or not re.fullmatch(r"[a-z0-9_-]+", name) or name == OURS or name in found:
            raise UserError(
                f"--against: expected NAME=FOLDER with a new name of a-z, 0-9, _ and -, got {word!r}; correct it"
            )
        found[name] = Path(folder)
    return found


def gate(args: argparse.Namespace) -> int:
    """Run the gate in the unseen cell of ``--seed``; a run that was killed goes on."""
    from prophrl_core.errors import UserError
    from prophrl_core.figures import report
    from prophrl_world_model import checkpoints

    from prophrl_training.gate_run import GateConfig, GateRun

    checkpoints.load(args.weights)  # a wrong folder is told now, not after the demonstrations
    if args.starts < 1 or args.group < 2 or args.adapt_steps < 1:
        raise UserError("gate: expected --starts and --adapt-steps of 1 or more and --group of 2 or more")
    folder = args.out or Path("runs") / "gate" / f"{args.task}-{args.seed}"
    config = GateConfig(
        starts=args.starts, group=args.group, adapt_steps=args.adapt_steps, threads=args.threads,
        processes=args.threads,
    )  # fmt: skip
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", flush=True)

    report(GateRun(args.weights, args.task, args.seed, folder, config, say).run(), args.json)
    return 0


def run(args: argparse.Namespace) -> int:
    if args.gate:
        return gate(args)
    import cv2
    import torch
    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError
    from prophrl_core.figures import report
    from prophrl_core.task import load_task
    from prophrl_world_model import checkpoints
    from prophrl_world_model.imagination import ImaginationEnv
    from prophrl_world_model.sampler import FULL, for_steps

    from prophrl_training import prophet_evaluation, prophet_scores
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.inspection.summary import text_table
    from prophrl_training.prophet_episodes import chosen_positions, read_prophet_episodes
    from prophrl_training.prophet_report import Film, shown_episodes, write_report
    from prophrl_training.prophet_scores import CEILING, COPY, OURS

    if args.episodes is None:
        raise UserError("eval prophet: expected --episodes DATASET or --gate, got neither")
    for name, least in (("n", 1), ("videos", 0), ("seed", 0), ("batch", 1), ("threads", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name}: expected {least} or more, got {getattr(args, name)}")
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    folders = {OURS: args.weights} | rivals(args.against)
    loaded = {name: checkpoints.load(folder, torch.float32) for name, folder in folders.items()}
    config = loaded[OURS][0].prophet
    for name, (model, _) in loaded.items():
        prophet_evaluation.check_comparable(config, model.prophet, name)
    task, cell = load_task(args.task), load_cell(args.cell) if args.cell else None
    dataset = open_dataset(args.episodes)
    positions = chosen_positions(dataset, args.n, args.seed, at_least=config.chunk_steps + 1)
    episodes = list(read_prophet_episodes(dataset, config, task, cell, positions))
    prophet_evaluation.check_episodes(episodes, config)

    started = time.monotonic()
    shown, clips = set(shown_episodes(episodes, args.videos)), {}

    def keep(number: int, clip) -> None:
        if number in shown:
            clips[number] = clip

    evaluations = {}
    sampler = for_steps(0, config) if args.sampler == "few" else FULL
    for name, networks in loaded.items():
        model, autoencoder = (network.to(args.device) for network in networks)
        evaluations[name] = prophet_evaluation.evaluate(
            lambda view, m=model, a=autoencoder: ImaginationEnv(m, a, view, sampler, args.batch),
            episodes, args.seed, args.batch, keep if name == OURS else lambda number, clip: None,
        )  # fmt: skip
        print(f"{name}: {len(episodes)} episodes, {time.monotonic() - started:.0f} s", flush=True)
    K, ours = config.chunk_steps, loaded[OURS][1]
    copied = [prophet_evaluation.scored(e, prophet_evaluation.last_frame_copy(e, K)) for e in episodes]
    restored = [prophet_evaluation.reconstruction(e, K, ours) for e in episodes]
    ceiling = [prophet_evaluation.scored(e, clip) for e, clip in zip(episodes, restored, strict=True)]

    table = {name: evaluation.scores for name, evaluation in evaluations.items()} | {COPY: copied, CEILING: ceiling}
    score_rows = prophet_scores.score_rows(table, args.seed)
    sensitivity_rows = prophet_scores.sensitivity_rows(evaluations, args.seed)
    out = args.out or Path("runs") / "eval_prophet" / f"{args.weights.resolve().name}-{args.seed}"
    facts = {name: str(folder) for name, folder in folders.items()} | {
        "episodes": f"{len(episodes)} of {args.episodes}",
        "frames": f"{config.width}x{config.height} at {config.rate_hz:g} Hz, {K} a chunk",
        "sampler": f"{sampler.steps} steps, {sampler.schedule}, {sampler.solver}",
        "seed": str(args.seed),
    }
    films = [Film(i, episodes[i], evaluations[OURS].scores[i], clips[i]) for i in sorted(clips)]
    title = f"Prophecies of {args.weights.resolve().name}"
    page = write_report(out, title, facts, table, score_rows, sensitivity_rows, films, K, args.seed)
    prophet_scores.write_frames(out / "frames.csv", table)
    print(text_table(score_rows), text_table(sensitivity_rows), sep="\n\n", end="\n\n")
    report(prophet_scores.figures(evaluations, copied, ceiling, K, args.seed), args.json)
    print(f"page: {page} ({page.stat().st_size / 1e6:.1f} MB), every frame: {out / 'frames.csv'}")
    return 0
