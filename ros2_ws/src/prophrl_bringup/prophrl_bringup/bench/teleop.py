"""``prophrl bench teleop --json F``: how soon the arm moves when an operator jogs it, and rests when told to.

A real arm_node drives the simulated controller. An operator presses the deadman, jogs, and lets go; or the process that
publishes the commands is killed in mid-motion. The clock is the simulator's trace of the true joints, every 2 ms.
Beside it, the same operator with a plain ``speedL`` node.
"""

import argparse
import dataclasses
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, report
from prophrl_core.ur_kinematics import forward

HELP = "from an operator's hand to the arm: time to move, time to rest after release and after silence"
SPEED = 0.1  # m/s, to and fro along each axis of the base in turn
_JOG_S, _REST_S = 0.3, 0.35
_WINDOW = 5  # ticks of 2 ms over which the speed is taken
_AT_REST = 0.01  # rad/s
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Trial:
    """One press and its end: s to motion (NaN where it was not timed), s to rest, m the tool went after the end.

    ``to_commanded_rest`` is the same for the joints as the controller commands them, without the arm's own settling.
    """

    to_motion: float
    to_rest: float
    to_commanded_rest: float
    travel: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--n", type=int, default=50, help="presses, releases and killed publishers (default 50)")


def run(arguments: argparse.Namespace) -> int:
    from prophrl_bringup.bench.arm_rig import ArmRig

    if arguments.n < 1:
        raise UserError(f"--n: expected 1 or more, got {arguments.n}")
    with tempfile.TemporaryDirectory(prefix="prophrl-bench-") as folder, ArmRig(Path(folder), "127.66.0.2", 98) as rig:
        rig.start_arm()
        rig.client.home()
        released = operate(rig, arguments.n)
        silent = fall_silent(rig, arguments.n)
        rig.arm.stop()
        rig.start("prophrl_bringup.bench.plain_jog_node", "--ip", rig.ip).wait_for("jogging")
        plain = operate(rig, arguments.n)
    figures = [
        *_figures("release_to_stop", "to_rest", (50, 99, 100), released, plain),
        *_figures("release_to_commanded_stop", "to_commanded_rest", (50, 99), released, plain),
        *_figures("release_travel", "travel", (50, 99), released, plain, unit="mm"),
        *_figures("silence_to_stop", "to_rest", (50, 99, 100), silent),
        *_figures("silence_travel", "travel", (50, 99), silent, unit="mm"),
        *_figures("command_to_motion", "to_motion", (50, 99), released, plain),
    ]
    report(figures, arguments.json)
    return 0


def twist(i: int) -> list[float]:
    """Trial ``i``'s twist (6,): along y, x, z of the base in turn, to and fro."""
    out = [0.0] * 6
    out[(1, 0, 2)[i // 2 % 3]] = SPEED if i % 2 else -SPEED
    return out


def operate(rig, n: int) -> list[Trial]:
    """Press, jog, let go, ``n`` times."""
    pauses = np.random.default_rng(_SEED).uniform(0.0, 0.02, n)  # so that no phase of a loop is met each time
    rig.client.jog(0.1)
    rig.client.release()
    out = []
    for i in range(n):
        rig.client.spin(0.1 + pauses[i])
        pressed = time.monotonic()
        rig.client.jog(_JOG_S + pauses[-i], twist(i))
        rig.client.release()
        released = time.monotonic()
        rig.client.spin(_REST_S)
        out.append(_judge(rig, pressed, released))
    return out


def fall_silent(rig, n: int) -> list[Trial]:
    """Kill the process that publishes the commands in mid-motion, ``n`` times."""
    from prophrl_interfaces.msg import ArmStatus

    out = []
    for i in range(n):
        source = rig.start("prophrl_bringup.bench.teleop_source", *twist(i))
        rig.client.until_mode(ArmStatus.MODE_EXECUTING)
        rig.client.spin(_JOG_S)
        source.popen.kill()
        killed = time.monotonic()
        rig.client.spin(_REST_S)
        out.append(_judge(rig, None, killed))
        rig.client.release()
        rig.client.until_mode(ArmStatus.MODE_READY)
    return out


def _judge(rig, pressed: float | None, ended: float) -> Trial:
    """Read the simulator's trace since ``pressed``; UserError when the arm did not move, or does not rest."""
    trace = rig.control.request("trace", seconds=time.monotonic() - (pressed or ended) + 0.1)["motion"]
    t = np.array([row[0] for row in trace])
    commanded, q = (np.array([row[column] for row in trace]) for column in (2, 3))
    to_motion = _moving(t, q, pressed)[0] - pressed if pressed else math.nan
    robot = load_cell(rig.cell_file).robot
    tool = [(forward(robot.kinematics, joints) @ robot.T_tool0_tcp)[:3, 3] for joints in (q[t <= ended][-1], q[-1])]
    to_rest, to_commanded_rest = (_moving(t, joints, ended - 0.1)[-1] - ended for joints in (q, commanded))
    return Trial(to_motion, to_rest, to_commanded_rest, float(np.linalg.norm(tool[1] - tool[0])))


def _moving(t: np.ndarray, q: np.ndarray, since: float) -> np.ndarray:
    """The times (M,) after ``since`` at which the joints (N, 6) at times ``t`` (N,) moved."""
    speed = np.abs(q[_WINDOW:] - q[:-_WINDOW]).max(axis=1) / (0.002 * _WINDOW)
    moving, middle = speed > _AT_REST, t[_WINDOW // 2 :][: len(speed)]
    out = middle[moving & (middle > since)]
    if moving[-1] or not len(out):
        raise UserError(f"bench teleop: expected a jog and rest within {_REST_S} s; is the machine overloaded?")
    return out


def _figures(
    name: str, field: str, quantiles: tuple, trials: list[Trial], rival: list[Trial] | None = None, unit: str = "ms"
) -> Iterator[Figure]:
    values = 1e3 * np.array([getattr(trial, field) for trial in trials])
    for q in quantiles:
        against = None
        if rival:
            beside = 1e3 * float(np.percentile([getattr(trial, field) for trial in rival], q))
            against = {"name": "ur_rtde speedL loop", "value": round(beside, 2)}
        word, value = "max" if q == 100 else f"p{q}", round(float(np.percentile(values, q)), 2)
        low, high = round(float(values.min()), 2), round(float(values.max()), 2)
        yield Figure(f"teleop.{name}.{word}", value, unit, len(values), low, high, _SEED, against)
