"""``prophrl bench faults --json F``: how long the arm keeps moving after each fault, seen from the simulator's truth.

A real arm_node with its RTDE process follows chunks to and fro, or those of a real policy_node where that is what gets
killed; a fault is injected; the clock stops when the true joints have come to rest. Afterwards the operator's part is
played, and the arm must follow chunks again.
"""

import argparse
import dataclasses
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, write_figures

from prophrl_bringup.session import find_bundle

MOVING = 0.05  # rad/s of the fastest joint, at least, when a fault is injected
HELP = "time to a standstill after each fault, and recovery"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One fault: what is injected, the states it may show, and whether the operator's word is needed afterwards."""

    name: str
    kind: str
    content: dict
    states: tuple[str, ...]
    resume: bool = True
    limit: float = 1.0  # s within which the arm has to rest


# A frozen controller takes its own motion up again when it thaws, until the braking commands in its buffer arrive.
SCENARIOS = (
    Scenario("stream_100ms", "silence", {"seconds": 0.1}, ("READY", "HOLD"), resume=False),
    Scenario("stream_1s", "silence", {"seconds": 1.0}, ("HOLD",)),
    Scenario("stream_5s", "silence", {"seconds": 5.0}, ("HOLD", "DISCONNECTED", "STARTING")),
    Scenario("controller_100ms", "stall", {"seconds": 0.1}, ("READY", "HOLD"), resume=False),
    Scenario("controller_1s", "stall", {"seconds": 1.0}, ("HOLD",), limit=2.0),
    Scenario("controller_5s", "stall", {"seconds": 5.0}, ("HOLD", "DISCONNECTED", "STARTING"), limit=6.5),
    Scenario("controller_killed", "kill", {"seconds": 3.0}, ("DISCONNECTED",)),
    Scenario("socket_closed", "kill", {"seconds": 0.2}, ("DISCONNECTED",)),
    Scenario("protective_stop", "protective_stop", {}, ("PROTECTIVE_STOP",)),
    Scenario("protective_stop_program_playing", "protective_stop", {"keep_program": True}, ("PROTECTIVE_STOP",)),
    Scenario("emergency_stop", "estop", {"seconds": 2.0}, ("EMERGENCY_STOP",)),
    Scenario("power_off", "power_off", {}, ("FAULT",)),
    Scenario("arm_process_killed", "SIGKILL", {}, ("DISCONNECTED",)),
    Scenario("arm_process_hung", "SIGSTOP", {}, ("DISCONNECTED",)),
    Scenario("policy_killed", "policy", {}, ("READY",), resume=False, limit=3.0),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a fault did: ``stop_time`` s; the arm's states since, as (name, reason)."""

    stop_time: float
    states: list[tuple[str, str]]


def mode_name(mode: int) -> str:
    """ArmStatus.MODE_* as a word."""
    from prophrl_cell.arm.shared_state import Mode

    return Mode(mode).name


def run_scenario(rig, scenario: Scenario) -> Outcome:
    """Begin an episode, move, inject, wait for rest and for the state; leaves the arm as the fault left it.

    UserError when it does not come to rest.
    """
    from prophrl_interfaces.msg import ArmStatus

    from prophrl_bringup.nodes.arm_client import TASK, sway

    client = rig.client
    policy = rig.start_policy(find_bundle("sft", TASK)) if scenario.kind == "policy" else None
    client.start_episode()
    if policy is None:
        client.execute(sway())
        client.sway_until(time.monotonic() + 1.2)  # a turn every 0.8 s: at full speed now
    else:
        client.until_mode(ArmStatus.MODE_EXECUTING)
        client.spin(0.5)  # far from the bottle still: a push on it would stop the arm first
    t, q = time.monotonic(), rig.joints()
    client.spin(0.02)
    speed = float(np.abs(rig.joints() - q).max()) / (time.monotonic() - t)
    if speed < MOVING:
        raise UserError(f"{scenario.name}: expected a moving arm before the fault, it moves at {speed:.3f} rad/s")
    seen = len(client.statuses)
    injected = time.monotonic()
    if policy is not None:
        policy.popen.kill()
    elif scenario.kind.startswith("SIG"):
        os.kill(rig.arm_process(), getattr(signal, scenario.kind))
    else:
        rig.fault(scenario.kind, **scenario.content)
    stop_time = rig.stop_time(injected, quiet=max(0.5, scenario.content.get("seconds", 0.0) + 0.5))
    client.until(
        lambda: any(mode_name(m) in scenario.states for m, _ in client.statuses[seen:]),
        f"{' or '.join(scenario.states)} after {scenario.name}",
    )
    return Outcome(stop_time, [(mode_name(m), reason) for m, reason in client.statuses[seen:]])


def recover(rig, scenario: Scenario) -> None:
    """The operator's part, then proof that the arm follows chunks again. UserError when it does not."""
    from prophrl_bringup.nodes.arm_client import sway

    client = rig.client
    client.spin(scenario.content.get("seconds", 0.0))
    if scenario.resume:
        before = rig.joints()
        client.sway_until(time.monotonic() + 0.3)
        if np.abs(rig.joints() - before).max() > 0.01:
            raise UserError(f"{scenario.name}: expected the arm to wait for the operator's resume, it moved")
    client.recover()
    client.start_episode()
    client.execute(sway())
    client.stop_episode()
    client.home()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--n", type=int, default=5, help="times each fault is injected (default 5)")
    parser.add_argument("--only", default="", help="name of one fault")


def run(arguments: argparse.Namespace) -> int:
    from prophrl_bringup.bench.arm_rig import ArmRig

    chosen = [s for s in SCENARIOS if arguments.only in ("", s.name)]
    if not chosen:
        raise UserError(f"--only: expected one of {', '.join(s.name for s in SCENARIOS)}, got {arguments.only!r}")
    figures = []
    with tempfile.TemporaryDirectory(prefix="prophrl-bench-") as folder, ArmRig(
        Path(folder), "127.66.0.1", 98, cameras=True
    ) as rig:
        rig.start_arm()
        rig.client.home()
        for scenario in chosen:
            times = []
            for _ in range(arguments.n):
                times.append(run_scenario(rig, scenario).stop_time)
                recover(rig, scenario)
            worst, middle = max(times), float(np.median(times))
            print(
                f"{scenario.name:<34} at rest after {middle:.3f} s, worst {worst:.3f} s, n = {len(times)}", flush=True
            )
            figures.append(
                Figure(f"fault.{scenario.name}.stop_time", round(middle, 4), "s", len(times), min(times), worst)
            )
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0
