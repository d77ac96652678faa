"""``prophrl data stats``: a dataset's statistics, measured and compared with those it carries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "measure a dataset's statistics and compare them with the stored ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="folder of a LeRobot dataset")
    parser.add_argument("--write", action="store_true", help="replace the stored statistics by the measured ones")


def run(args: argparse.Namespace) -> int:
    from prophrl_core.errors import UserError

    from prophrl_training.datasets import check_statistics
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.datasets.stored_statistics import read_stats

    dataset = open_dataset(args.dataset, require_statistics=False)
    try:
        stored = read_stats(dataset.folder, dataset.info)
    except UserError as error:
        print(f"prophrl: {error}", file=sys.stderr)
        stored = {}
    measured = check_statistics.measure(dataset, _progress)
    comparisons = check_statistics.compare(dataset, stored, measured)
    width = max(len(c.feature) for c in comparisons)
    names = check_statistics.COMPARED
    print(f"{'feature':<{width}}  {'rows':>8}  " + "  ".join(f"{name + ' off':>10}" for name in names) + "  verdict")
    for c in comparisons:
        rows = int(measured[c.feature]["count"][0])
        off = "  ".join(f"{c.differences[name]:>10.2e}" if name in c.differences else f"{'':>10}" for name in names)
        print(f"{c.feature:<{width}}  {rows:>8}  {off}  {c.missing or ('good' if c.good else 'DIFFERS')}")
    if args.write:
        check_statistics.write_stats(dataset, measured)
        print(f"wrote {dataset.folder}/meta/stats.json")
        return 0
    return 0 if all(c.good for c in comparisons) else 1


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\rmeasuring {done}/{total} episodes", end="\n" if done == total else "", file=sys.stderr, flush=True)
