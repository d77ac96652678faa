"""``prophrl data convert``: recorded episodes in, a LeRobot v3.0 dataset out."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HELP = "convert recorded episodes into a LeRobot v3.0 dataset, adding those it does not have yet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("episodes", type=Path, nargs="+", help="episode folders, or folders that hold them")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset, new or to be extended")
    parser.add_argument("--task", default="", help="task name or YAML (default: what the episodes were recorded for)")
    parser.add_argument("--cameras", default="", help="comma-separated; every episode must have them (default: all)")
    parser.add_argument(
        "--outcomes", default="success,failure", help="comma-separated outcomes to take (default: %(default)s)"
    )
    parser.add_argument(
        "--max-image-age", type=float, default=0.1, help="s between a row and its picture (default: %(default)s)"
    )
    parser.add_argument(
        "--max-late-rows", type=float, default=0.1, help="share of rows with a later one (default: %(default)s)"
    )
    parser.add_argument(
        "--max-state-gap", type=float, default=0.2, help="s between samples to interpolate (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that convert; 0: one per core")


def run(args: argparse.Namespace) -> int:
    from prophrl_core.episode import OUTCOMES
    from prophrl_core.errors import UserError

    from prophrl_training.datasets.conversion import ConversionRules
    from prophrl_training.datasets.convert import convert
    from prophrl_training.datasets.staging import CONVERTED, LEFT_OUT, PRESENT, REFUSED, ConversionRequest

    outcomes = tuple(filter(None, args.outcomes.split(",")))
    unknown = [name for name in outcomes if name not in OUTCOMES]
    if unknown or not outcomes:
        raise UserError(f"--outcomes: expected some of {', '.join(OUTCOMES)}, got {args.outcomes!r}")
    for name in ("max_image_age", "max_state_gap"):
        if not getattr(args, name) > 0:
            raise UserError(f"--{name.replace('_', '-')}: expected seconds above 0, got {getattr(args, name)}")
    if not 0 <= args.max_late_rows <= 1:
        raise UserError(f"--max-late-rows: expected a share from 0 to 1, got {args.max_late_rows}")
    rules = ConversionRules(args.max_image_age, args.max_late_rows, args.max_state_gap)
    cameras = tuple(filter(None, args.cameras.split(",")))
    started = time.monotonic()
    request = ConversionRequest(tuple(args.episodes), args.out, args.task, cameras, outcomes, rules, args.workers)
    verdicts = convert(request, _progress)
    _print_table(verdicts)
    n = {kind: sum(v.verdict == kind for v in verdicts) for kind in (CONVERTED, PRESENT, LEFT_OUT, REFUSED)}
    rows = sum(v.rows for v in verdicts)
    print(
        f"{args.out}: {n[CONVERTED]} episodes added ({rows} rows) in {time.monotonic() - started:.1f} s, "
        f"{n[PRESENT]} there before, {n[LEFT_OUT]} left out, {n[REFUSED]} refused"
    )
    if not n[CONVERTED] and not n[PRESENT]:
        print("prophrl: error: none of the episodes could be converted; the table says why", file=sys.stderr)
        return 2
    return 1 if n[REFUSED] else 0


def _progress(done: int, total: int, verdict) -> None:
    print(f"[{done}/{total}] {verdict.name}: {verdict.verdict}", file=sys.stderr, flush=True)


def _print_table(verdicts) -> None:
    width = max(len("episode"), *(len(v.name) for v in verdicts))
    print(f"{'episode':<{width}}  {'outcome':<9}  {'verdict':<9}  {'rows':>5}  {'path error':>10}  why")
    for v in verdicts:
        rows, error = (f"{v.rows}", f"{1e3 * v.path_error:.1e} mm") if v.rows else ("", "")
        print(f"{v.name:<{width}}  {v.outcome:<9}  {v.verdict:<9}  {rows:>5}  {error:>10}  {v.reason}".rstrip())
