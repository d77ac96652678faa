"""One run of a cell on a task: what was asked for, checked, and the files that its processes read."""

import dataclasses
import os
import time
from pathlib import Path

import yaml
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.task import load_task

NO_POLICY = "none"

# Name, default and meaning of every argument of the launch files and of `prophrl up`.
ARGUMENTS = {
    "cell": ("sim", "cell description: sim, ur30e, or a path to a .yaml"),
    "robot_ip": ("", "address of the robot, instead of the one in the cell description"),
    "policy": ("sft", "policy bundle: a name under bundles/<task>/, a path, or none for a cell without a policy"),
    "trials": ("0", "trials to run before everything ends; 0 keeps the cell up until Ctrl-C"),
    "seed": ("0", "trial i is laid out with seed + i"),
    "run": ("", "folder of logs and episodes: a name under runs/ or a path; default: the task and the time"),
}


@dataclasses.dataclass(frozen=True)
class Session:
    """A checked request. The files under ``run_dir`` are what the processes are given."""

    task: str
    cell: CellSpec
    bundle: Path | None  # None: no policy
    trials: int
    seed: int
    run_dir: Path

    @property
    def cell_file(self) -> Path:
        """The cell description in force, overrides applied."""
        return self.run_dir / "cell.yaml"

    @property
    def task_file(self) -> Path:
        return self.run_dir / "task.yaml"

    @property
    def sim_ready_file(self) -> Path:
        """Made by the simulated cell once it listens."""
        return self.run_dir / "sim_cell.ready"

    @property
    def episodes_dir(self) -> Path:
        return self.run_dir / "episodes"


def _whole_number(arguments: dict[str, str], name: str) -> int:
    value = arguments[name]
    if not value.isdecimal():
        raise UserError(f"{name}: expected a whole number, 0 or more, got {value!r}")
    return int(value)


def _root() -> Path:
    return Path(os.environ.get("PROPHRL_ROOT", Path.cwd()))


def find_bundle(policy: str, task: str) -> Path | None:
    """The folder of a policy bundle by path or by name; None for ``none``."""
    if policy == NO_POLICY:
        return None
    candidates = [Path(policy), _root() / "bundles" / task / policy]
    for folder in candidates:
        if (folder / "manifest.json").is_file():
            return folder.resolve()
    raise UserError(
        f"policy {policy!r}: expected a bundle with manifest.json at {candidates[0]} or {candidates[1]}, found none; "
        "give policy:=PATH, or policy:=none"
    )


def run_folder(run: str, task: str) -> Path:
    """Where a run of this name lies: a name under runs/, or a path."""
    if run and (os.sep in run or run in (".", "..")):
        return Path(run).resolve()
    return _root() / "runs" / (run or f"{task}-{time.strftime('%Y%m%d-%H%M%S')}")


def _with_robot_ip(description: dict, robot_ip: str) -> dict:
    """The description with another robot address; a simulated cell's cameras are served from there too."""
    description["robot"]["ip"] = robot_ip
    if description.get("simulator") is not None:
        for camera in description["cameras"]:
            if camera["source"] == "injected":
                camera["host"] = robot_ip
    return description


def prepare(task: str, arguments: dict[str, str]) -> Session:
    """Check the request and write its cell and task files. UserError for anything that cannot work."""
    values = {name: default for name, (default, _) in ARGUMENTS.items()} | arguments
    cell = load_cell(values["cell"])
    task_source = find_config("tasks", task)
    task = load_task(task_source).name
    bundle = find_bundle(values["policy"], task)
    trials, seed = _whole_number(values, "trials"), _whole_number(values, "seed")
    if trials and bundle is None:
        raise UserError(f"trials:={trials}: expected a policy to run them with, got policy:={NO_POLICY}; name a policy")

    run_dir = run_folder(values["run"], task)
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    (run_dir / "episodes").mkdir(exist_ok=True)
    description = yaml.safe_load(find_config("cells", values["cell"]).read_text(encoding="utf-8"))
    if values["robot_ip"]:
        description = _with_robot_ip(description, values["robot_ip"])
    session = Session(task, cell, bundle, trials, seed, run_dir)
    session.cell_file.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    session.task_file.write_text(task_source.read_text(encoding="utf-8"), encoding="utf-8")
    session.sim_ready_file.unlink(missing_ok=True)
    return dataclasses.replace(session, cell=load_cell(session.cell_file))
