"""``prophrl data inspect PATH``: what is in a set of recordings, what sticks out, what is refused."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

HELP = "table, HTML report and faults of our episodes, a LeRobot dataset or a LIBERO HDF5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="folder of episodes, LeRobot dataset or LIBERO .hdf5")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots and clips here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and findings here")
    parser.add_argument("--card", help="embodiment card, by name or .yaml (default: the one that fits)")
    parser.add_argument("--most", type=int, default=200, help="episodes to read; 0: all (default: %(default)s)")
    parser.add_argument(
        "--show", type=int, default=30, help="episodes with pictures in the report (default: %(default)s)"
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="do not decode pictures: fast, and cameras go unchecked"
    )


def run(args: argparse.Namespace) -> int:
    from prophrl_training.inspection.findings import compare
    from prophrl_training.inspection.page import write_page
    from prophrl_training.inspection.source import open_source
    from prophrl_training.inspection.summary import refusals, row, text_table

    with open_source(args.path, args.card) as source:
        chosen = source.episodes[: args.most] if args.most > 0 else source.episodes
        found, unreadable = [], {}
        for i, (name, load) in enumerate(chosen):
            _progress(i, len(chosen))
            _inspect_one(name, load, args, found, unreadable)
        _progress(len(chosen), len(chosen))
        found = compare(found)
        for fact, text in source.facts.items():
            print(f"{fact}: {text}")
        if found:
            print(text_table([row(item) for item in found]))
        for item in found:
            for remark in item.remarks:
                print(f"{item.recording.name}: {remark}")
        refused = refusals(found, unreadable)
        for name, why in refused.items():
            print(f"{name}: refused: {'; '.join(why)}")
        left_out = len(source.episodes) - len(chosen)
        more = f", {left_out} more not read (--most 0 reads all)" if left_out else ""
        print(f"{source.kind}: {len(chosen)} episodes, {len(refused)} refused{more}")
        if args.html:
            write_page(args.html, source, found, unreadable, args.show)
            print(f"report: {args.html} ({args.html.stat().st_size / 1e6:.1f} MB)")
    if args.json:
        _write_json(args.json, found, unreadable)
    return 1 if refused else 0


def _inspect_one(name: str, load, args: argparse.Namespace, found: list, unreadable: dict[str, str]) -> None:
    """Load one recording and look at it; what cannot be read is named."""
    from prophrl_core.errors import UserError

    from prophrl_training.inspection.film import watch
    from prophrl_training.inspection.findings import inspect

    try:
        recording = load()
        films = (
            () if args.no_pictures else tuple(watch(camera, frames()) for camera, frames in recording.cameras.items())
        )
        found.append(inspect(recording, films))
    except UserError as error:
        unreadable[name] = str(error)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rreading {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _write_json(path: Path, found: list, unreadable: dict[str, str]) -> None:
    """Figures as every bench writes them, and beside them the rows and findings of each episode."""
    from prophrl_training.inspection.summary import figures, refusals, row

    content = {
        "figures": [dataclasses.asdict(figure) for figure in figures(found, unreadable)],
        "episodes": [row(item) | {"remarks": item.remarks} for item in found],
        "refused": refusals(found, unreadable),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)
