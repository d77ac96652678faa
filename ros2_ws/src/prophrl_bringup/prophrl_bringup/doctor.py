"""``prophrl doctor``: looks at this machine and one cell, and says what to do about what it finds."""

import argparse
import dataclasses
import os
import sys

from prophrl_core.errors import UserError

HELP = "check this machine and a cell, and say what to do about each finding"

OK, NOTE, WARNING, BLOCKING = "ok", "note", "warning", "BLOCKING"
_COLOURS = {OK: "32", NOTE: "36", WARNING: "33", BLOCKING: "31;1"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at. ``advice`` says what to do, empty where nothing is wrong.

    ``level``: ok; note (works, could be better); warning (something will be missing); BLOCKING (a cell will not run).
    """

    level: str
    subject: str
    text: str
    advice: str = ""

    def line(self, colour: bool) -> str:
        mark = f"\x1b[{_COLOURS[self.level]}m{self.level:<8}\x1b[0m" if colour else f"{self.level:<8}"
        head = f"{mark}  {self.subject:<14}  {self.text}"
        return f"{head}\n{'':>26}-> {self.advice}" if self.advice else head


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cell", default="sim", help="cell description to check the ports and cameras of (default: sim)")
    parser.add_argument("--robot-ip", default="", help="address of the robot, instead of the one in the cell description")


def findings(cell_name: str, robot_ip: str) -> list[Finding]:
    """Every check, in the order in which a cell needs what they look at."""
    from prophrl_core.cell import load_cell

    from prophrl_bringup import cell_checks, machine_checks

    checks = [
        machine_checks.ros,
        machine_checks.workspace,
        machine_checks.dds_profile,
        machine_checks.dds_memory,
        machine_checks.graphics,
        machine_checks.librealsense,
        machine_checks.realtime_rights,
        machine_checks.cpu_governor,
        machine_checks.gpu,
        machine_checks.disk,
    ]
    found = [finding for check in checks for finding in check()]
    try:
        cell = load_cell(cell_name)
    except UserError as error:
        return [*found, Finding(BLOCKING, "cell", str(error), "correct the cell description, or name another: --cell")]
    if robot_ip:
        cell = dataclasses.replace(cell, robot=dataclasses.replace(cell.robot, ip=robot_ip))
    return [*found, *cell_checks.ports(cell), *cell_checks.cameras(cell)]


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when none is blocking, else 1."""
    found = findings(arguments.cell, arguments.robot_ip)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for finding in found:
        print(finding.line(colour))
    blocking = [finding for finding in found if finding.level == BLOCKING]
    if blocking:
        print(f"prophrl: {len(blocking)} blocking: {', '.join(finding.subject for finding in blocking)}", file=sys.stderr)
    return 1 if blocking else 0
