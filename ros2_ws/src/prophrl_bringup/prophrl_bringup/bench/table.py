"""``prophrl bench table FILE...``: figures of ``--json`` files as one Markdown table."""

import argparse
import json
from pathlib import Path

from prophrl_core.errors import UserError

HELP = "print the figures of --json files as a Markdown table, as docs/results.md shows them"
COLUMNS = ("figure", "value", "unit", "interval or range", "n", "seed", "against")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="written by a bench or eval with --json")


def figures_of(path: Path) -> list[dict]:
    """The figures in one file; UserError when it is none."""
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
        return [dict(figure) for figure in figures]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path}: expected a file with {{"figures": [...]}}, got {type(error).__name__}: {error}') from None


def number(value: float | None) -> str:
    """Four significant digits, none for a missing value."""
    return "" if value is None else f"{value:.4g}"


def row(figure: dict) -> str:
    """One line of the table."""
    low, high, against = figure.get("low"), figure.get("high"), figure.get("against")
    span = f"{number(low)} to {number(high)}" if low is not None and high is not None else ""
    rival = f"{against['name']}: {number(against['value'])}" if against else ""
    seed = "" if figure.get("seed") is None else str(figure["seed"])
    cells = (f"`{figure['name']}`", number(figure["value"]), figure["unit"], span, str(figure["n"]), seed, rival)
    return "| " + " | ".join(cells) + " |"


def run(arguments: argparse.Namespace) -> int:
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for path in arguments.files:
        for figure in figures_of(path):
            print(row(figure))
    return 0
