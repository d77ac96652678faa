"""What the calibration commands have in common: the cell, the camera, the board, where results go."""

import argparse
import dataclasses
import os
import time
from pathlib import Path

import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError


def add_cell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cell", default="sim", help="cell description: sim, ur30e, or a path to a .yaml (default: sim)"
    )
    parser.add_argument("--camera", default="", help="name of the camera (default: the cell's only one)")
    parser.add_argument("--robot-ip", default="", help="another address of a simulated cell")
    parser.add_argument("--run", type=Path, help="folder for logs and pictures (default: runs/calibration-<time>)")
    parser.add_argument("--yes", action="store_true", help="the operator's word: move the arm without asking again")


def add_board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--columns", type=int, help="squares of the board along x")
    parser.add_argument("--rows", type=int, help="squares along y")
    parser.add_argument("--square", type=float, help="edge of a square as measured on the print, m")
    parser.add_argument("--marker", type=float, help="edge of a marker as measured, m")
    parser.add_argument("--dictionary", help="ArUco dictionary, such as DICT_5X5_100")


def add_simulation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--noise", type=float, default=3.0, help="simulated cell: sensor noise, grey levels (default: 3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="simulated cell: how the board is mounted (default: 0)")


def camera_of(cell: CellSpec, name: str) -> str:
    """The camera that is meant."""
    if name:
        return cell.camera(name).name
    if len(cell.cameras) != 1:
        known = ", ".join(c.name for c in cell.cameras) or "none"
        raise UserError(f"--camera: expected one of {known}, got none; name it")
    return cell.cameras[0].name


def board_of(arguments: argparse.Namespace, default):
    """The target with what was given on the command line."""
    given = {n: getattr(arguments, n) for n in ("columns", "rows", "square", "marker", "dictionary")}
    return dataclasses.replace(default, **{n: v for n, v in given.items() if v is not None})


def run_folder(arguments: argparse.Namespace) -> Path:
    root = Path(os.environ.get("PROPHRL_ROOT", Path.cwd()))
    folder = (arguments.run or root / "runs" / f"calibration-{time.strftime('%Y%m%d-%H%M%S')}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cell_path(arguments: argparse.Namespace, out: Path | None, folder: Path) -> Path:
    """The YAML that gets the result: ``out``, else the cell's own file; a simulated cell's result goes to the run
    folder.
    """
    source = find_config("cells", arguments.cell)
    if out is None and load_cell(source).simulator is None:
        return source
    path = out or folder / "cell.yaml"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def word_given(arguments: argparse.Namespace, question: str) -> None:
    """Ask the operator unless the word was given; UserError when it is not."""
    if arguments.yes:
        return
    try:
        answer = input(f"{question} [yes/no] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(
            "expected the operator's word (yes, or --yes) before the arm moves, did not get it; nothing moved"
        )


def mounted(T: np.ndarray, seed: int) -> np.ndarray:
    """Where somebody truly put a simulated board that should be at ``T``: some millimetres and a degree off."""
    rng = np.random.default_rng([seed, 7])
    return T @ se3.pose_from_rotvec(np.concatenate([0.008 * rng.uniform(-1, 1, 3), 0.02 * rng.uniform(-1, 1, 3)]))
