"""``prophrl data merge``: several datasets into one."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "join LeRobot datasets of the same kind into a new one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("datasets", type=Path, nargs="+", help="folders of LeRobot v2.1 or v3.0 datasets with videos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new dataset")


def run(args: argparse.Namespace) -> int:
    from prophrl_training.datasets.merge import merge
    from prophrl_training.datasets.reader import open_dataset

    datasets = [open_dataset(folder) for folder in args.datasets]
    merge(datasets, args.out)
    merged = open_dataset(args.out)
    print(f"{args.out}: {len(merged.episodes)} episodes, {len(merged)} rows from {len(datasets)} datasets")
    return 0
