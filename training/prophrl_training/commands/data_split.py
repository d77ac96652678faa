"""``prophrl data split``: training and validation episodes."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "split a dataset by episode into train and val, each outcome alike"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="folder of a LeRobot v2.1 or v3.0 dataset with videos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new dataset")
    parser.add_argument("--share", type=float, default=0.1, help="of the episodes for val (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="picks the episodes (default: %(default)s)")
    parser.add_argument("--separate", action="store_true", help="two datasets, OUT/train and OUT/val, instead of one")


def run(args: argparse.Namespace) -> int:
    from prophrl_training.datasets.merge import split, split_apart
    from prophrl_training.datasets.reader import open_dataset

    dataset = open_dataset(args.dataset)
    chosen = (split_apart if args.separate else split)(dataset, args.out, args.share, args.seed)
    for name, positions in chosen.items():
        counts: dict[str, int] = {}
        for position in positions:
            outcome = str(dataset.episodes[position].facts.get("outcome") or "no outcome")
            counts[outcome] = counts.get(outcome, 0) + 1
        listed = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        print(f"{name}: {len(positions)} episodes ({listed})")
    print(f"wrote {args.out}")
    return 0
