"""``prophrl data push``: a dataset to the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "upload a dataset to the Hugging Face hub, checked first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="folder of a LeRobot v3.0 dataset")
    parser.add_argument("--repo", required=True, help="owner/name on the hub (log in with HF_TOKEN)")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--license", default="apache-2.0", help="for the dataset card (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="check the dataset and list what would be uploaded")


def run(args: argparse.Namespace) -> int:
    from prophrl_training.datasets.push import files_of, push
    from prophrl_training.datasets.reader import open_dataset

    dataset = open_dataset(args.dataset)
    files = files_of(dataset)
    size = sum(path.stat().st_size for path in files)
    what = f"{len(dataset.episodes)} episodes, {len(dataset)} rows"
    print(f"{args.dataset}: {what}, {len(files)} files, {size / 1e6:.1f} MB")
    if args.dry_run:
        print("\n".join(f"  {path.relative_to(dataset.folder.resolve())}" for path in files))
        return 0
    print(f"uploaded to {push(dataset, args.repo, args.private, args.license)}")
    return 0
