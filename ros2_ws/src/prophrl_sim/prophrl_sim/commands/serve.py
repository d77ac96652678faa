"""``prophrl sim serve``: the simulated cell on the wire, until Ctrl-C."""

import argparse

HELP = "serve a simulated cell on the real ports (RTDE, dashboard, gripper, cameras)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prophrl_sim import serve

    serve.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Blocks until the cell is told to stop."""
    from prophrl_sim.serve import run_cell

    run_cell(arguments.cell, arguments.task, arguments.host, arguments.ready_file)
    return 0
