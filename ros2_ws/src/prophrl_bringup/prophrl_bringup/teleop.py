"""``prophrl teleop TASK``: a person moves the arm; trials are recorded and labelled by that person."""

import argparse
import importlib.util
from pathlib import Path

from prophrl_core.episode import META_NAME, PARTIAL_SUFFIX, EpisodeMeta, read_meta

from prophrl_bringup.session import ARGUMENTS, NO_POLICY, Session, prepare
from prophrl_bringup.up import bring_up

HELP = "teleoperate a cell and record labelled trials: keyboard, gamepad, SpaceMouse, a twist topic, the browser"
# Arguments of the launch files that this command takes, and defaults of its own.
TAKEN = (
    "cell", "robot_ip", "device", "policy", "trials", "timeout", "seed", "operator", "run", "console_port",
    "console_host",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULTS = {"policy": NO_POLICY, "timeout": "120"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="task description: grasp_bottle, place_cube, ..., or a path to a .yaml")
    for name in TAKEN:
        default, meaning = ARGUMENTS[name]
        default = DEFAULTS.get(name, default)
        shown = f" (default: {default})" if default else ""
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default=default, help=meaning + shown)
    parser.add_argument("--no-console", action="store_true", help="without the operator console")
    parser.add_argument("--quiet", action="store_true", help="output of the processes to their log files only")


def instructions(session: Session) -> list[str]:
    """What to do, one line each."""
    lines = [f"prophrl: cell {session.cell.name}, task {session.task}, logs and episodes in {session.run_dir}"]
    if session.console_port:
        address = f"http://{session.console_host}:{session.console_port}/"
        token = "" if session.console_host in LOOPBACK else " (with the token that console_node prints)"
        lines.append(f"prophrl: operator console: {address}{token}")
    elif importlib.util.find_spec("nicegui") is None:
        lines.append("prophrl: no operator console; make setup EXTRAS=teleop installs it")
    begin = "the arm goes home by itself" if session.trials else "START begins a trial: the arm goes home"
    lines += [
        f"prophrl: {begin}; lay out the scene, START, hold the deadman and move, then SUCCESS, FAILURE or DISCARD",
        "prophrl: words: buttons of your device, the console, or: prophrl operator scene-ready | success | failure | discarded",
    ]
    return lines


def collected(episodes_dir: Path) -> list[EpisodeMeta]:
    """The finished episodes of a run, oldest first."""
    folders = [path.parent for path in episodes_dir.glob(f"*/{META_NAME}") if path.parent.suffix != PARTIAL_SUFFIX]
    return sorted((read_meta(folder) for folder in folders), key=lambda meta: meta.started)


def table(episodes: list[EpisodeMeta]) -> list[str]:
    """One line per episode, then the sum."""
    width = max((len(meta.episode_id) for meta in episodes), default=0)
    lines = [
        f"  {meta.episode_id:<{width}}  {meta.outcome:<9}  {meta.duration:6.1f} s  "
        f"lost {sum(s.lost for s in meta.streams)}  {meta.operator}  {meta.reason}".rstrip()
        for meta in episodes
    ]
    outcomes = [meta.outcome for meta in episodes]
    counts = ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes))
    return [*lines, f"{len(episodes)} episodes{': ' + counts if counts else ''}"]


def run(arguments: argparse.Namespace) -> int:
    console = not arguments.no_console and importlib.util.find_spec("nicegui") is not None
    values = {name: getattr(arguments, name) for name in TAKEN}
    session = prepare(arguments.task, values | {"teleop": "true", "console": "true" if console else "false"})
    print("\n".join(instructions(session)), flush=True)
    status = bring_up(session, arguments.quiet)
    print("\n".join(table(collected(session.episodes_dir))))
    return status
