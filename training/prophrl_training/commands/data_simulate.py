"""``prophrl data simulate``: episodes of randomised simulated cells as a dataset."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

HELP = "play episodes in randomised simulated cells and write them, with the truth, as a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="grasp_bottle", help="task name or YAML (default: %(default)s)")
    parser.add_argument("--cell", default="sim", help="cell that is varied (default: %(default)s)")
    parser.add_argument(
        "--cells", type=int, default=100, help="random cells; 0: the cell as it is (default: %(default)s)"
    )
    parser.add_argument("--each", type=int, default=10, help="episodes in each cell (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first cell's; the next ones count up (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset: new, or one of this command's")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one per core")


def run(args: argparse.Namespace) -> int:
    import shutil

    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError
    from prophrl_core.task import load_task

    from prophrl_training.datasets.dataset_writer import write_dataset
    from prophrl_training.datasets.metadata_writer import DatasetSpec
    from prophrl_training.datasets.parts import read_part
    from prophrl_training.datasets.publish import locked, publish, work_folder
    from prophrl_training.simulated_episodes import SimulatedSource, source_facts, staged

    if args.cells < 0 or args.each < 1:
        raise UserError(f"expected --cells of 0 or more and --each of 1 or more, got {args.cells} and {args.each}")
    if args.seed < 0 or args.workers < 0:
        raise UserError(f"expected --seed and --workers of 0 or more, got {args.seed} and {args.workers}")
    task, cell = load_task(args.task), load_cell(args.cell)
    source = SimulatedSource(cell, task, args.cells, args.each, args.seed)
    started = time.monotonic()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.out):
        _check_place(args.out)
        folders: list[Path] = []
        for done, parts in enumerate(staged(source, work_folder(args.out) / source.digest, args.workers)):
            folders += parts
            seconds = time.monotonic() - started
            print(f"\r{len(folders)} episodes of {done + 1} cells, {seconds:.0f} s", end="", flush=True)
        print()
        parts, features = zip(*(read_part(folder) for folder in folders), strict=True)
        spec = DatasetSpec(round(task.action.rate_hz), cell.robot.model, features[0], source_facts(source))
        publish(args.out, lambda folder: write_dataset(folder, spec, list(parts)))
        shutil.rmtree(work_folder(args.out) / source.digest)
    succeeded = sum(part.facts["outcome"] == "success" for part in parts)
    stopped = sum(part.facts["reason"] == "contact stop" for part in parts)
    rows = sum(part.length for part in parts)
    print(f"{args.out}: {len(parts)} episodes, {rows} rows, {succeeded} successes, {stopped} contact stops")
    return 0


def _check_place(out: Path) -> None:
    """UserError when there is a dataset that was not simulated: it would be lost."""
    from prophrl_core.errors import UserError

    from prophrl_training.datasets import layout, metadata
    from prophrl_training.datasets.metadata_writer import OWN_KEY

    if (out / layout.INFO).is_file() and "simulated" not in (metadata.read_info(out).get(OWN_KEY) or {}):
        raise UserError(f"{out}: expected nothing there or a simulated dataset, found another; give another --out")
