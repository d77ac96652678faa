"""One run of a cell on a task: what was asked for, checked, and the files that its processes read."""

import dataclasses
import importlib.util
import os
import time
from pathlib import Path

import yaml
from prophrl_cell.teleop.device_config import DEVICES, load_device
from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.task import load_task

NO_POLICY = "none"
TELEOP_TIMEOUT_S = 120.0  # a person is slower than a policy
SWITCH = {"true": True, "false": False}

# Name, default and meaning of every argument of the launch files, of `prophrl up` and of `prophrl teleop`.
ARGUMENTS = {
    "cell": ("sim", "cell description: sim, ur30e, or a path to a .yaml"),
    "robot_ip": ("", "address of the robot, instead of the one in the cell description"),
    "policy": ("sft", "policy bundle: a name under bundles/<task>/, a path, or none for a cell without a policy"),
    "prophet": ("", "world model that previews chunks: a name under bundles/<task>/ or a path; without it none"),
    "trials": ("0", "trials to run before everything ends; 0 keeps the cell up until Ctrl-C"),
    "seed": ("0", "trial i is laid out with seed + i"),
    "timeout": ("0", "seconds per trial; 0: the task's own horizon, with teleop 120"),
    "teleop": ("false", "true: a person moves the arm, starts and labels the trials"),
    "device": (",".join(DEVICES), "with teleop: devices to listen to, comma-separated names in config/teleop or paths"),
    "operator": ("", "with teleop: name of the person, kept in every episode"),
    "console": ("false", "true: the operator console, a web page (needs: make setup EXTRAS=teleop)"),
    "console_port": ("8080", "port of the operator console"),
    "console_host": ("127.0.0.1", "address it listens on; other than this machine's own it asks for a token"),
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
    timeout: float = 0.0  # s per trial; 0: the task's own horizon
    teleop: bool = False
    devices: tuple[str, ...] = ()  # of teleoperation
    operator: str = ""
    console_port: int = 0  # 0: no console
    console_host: str = ""
    prophet: Path | None = None  # weights; None: no preview

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


def _switch(arguments: dict[str, str], name: str) -> bool:
    if arguments[name] not in SWITCH:
        raise UserError(f"{name}: expected true or false, got {arguments[name]!r}")
    return SWITCH[arguments[name]]


def _timeout(arguments: dict[str, str], teleop: bool) -> float:
    try:
        value = float(arguments["timeout"])
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 3600.0:
        raise UserError(f"timeout: expected 0 to 3600 s, got {arguments['timeout']!r}")
    return value or (TELEOP_TIMEOUT_S if teleop else 0.0)


def _console_port(arguments: dict[str, str]) -> int:
    """The console's port, 0 without one."""
    if not _switch(arguments, "console"):
        return 0
    port = _whole_number(arguments, "console_port")
    if not 1 <= port <= 65535:
        raise UserError(f"console_port: expected 1 to 65535, got {port}")
    if importlib.util.find_spec("nicegui") is None:
        raise UserError("console: expected nicegui, found none; run: make setup EXTRAS=teleop, or leave it out")
    return port


def _devices(arguments: dict[str, str]) -> tuple[str, ...]:
    """Names of devices whose descriptions are good; paths made absolute."""
    names = [name.strip() for name in arguments["device"].split(",") if name.strip()]
    if not names:
        raise UserError(f"device: expected one or more of {', '.join(DEVICES)}, or a path, got none")
    for name in names:
        load_device(name)
    return tuple(str(Path(name).resolve()) if Path(name).suffix else name for name in names)


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


def find_prophet(prophet: str, task: str) -> Path | None:
    """The folder of a world model's weights by path or by name; None for an empty text."""
    if not prophet:
        return None
    if importlib.util.find_spec("torch") is None:
        raise UserError("prophet: expected torch, found none; run: make setup EXTRAS=train, or leave it out")
    candidates = [Path(prophet), _root() / "bundles" / task / prophet]
    for folder in candidates:
        if (folder / "prophet.json").is_file():
            return folder.resolve()
    raise UserError(
        f"prophet {prophet!r}: expected weights with prophet.json at {candidates[0]} or {candidates[1]}, found none; "
        "give prophet:=PATH, or leave it out"
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
    bundle, prophet = find_bundle(values["policy"], task), find_prophet(values["prophet"], task)
    trials, seed, teleop = _whole_number(values, "trials"), _whole_number(values, "seed"), _switch(values, "teleop")
    if trials and bundle is None and not teleop:
        raise UserError(
            f"trials:={trials}: expected a policy or a person to run them, got policy:={NO_POLICY}; name a policy, or "
            "give teleop:=true"
        )
    devices = _devices(values) if teleop else ()
    timeout, console_port = _timeout(values, teleop), _console_port(values)

    run_dir = run_folder(values["run"], task)
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    (run_dir / "episodes").mkdir(exist_ok=True)
    description = yaml.safe_load(find_config("cells", values["cell"]).read_text(encoding="utf-8"))
    if values["robot_ip"]:
        description = _with_robot_ip(description, values["robot_ip"])
    session = Session(
        task, cell, bundle, trials, seed, run_dir, timeout, teleop, devices, values["operator"], console_port,
        values["console_host"], prophet,
    )  # fmt: skip
    session.cell_file.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    session.task_file.write_text(task_source.read_text(encoding="utf-8"), encoding="utf-8")
    session.sim_ready_file.unlink(missing_ok=True)
    return dataclasses.replace(session, cell=load_cell(session.cell_file))
