"""``prophrl bench control --json F``: how steady the servo commands are, while a camera and the policy run beside them.

For 125 and 500 Hz: arm_node with its RTDE process; then, in the same run and beside the same camera_node and
policy_node, a plain Python servoL loop inside a ROS node; and UMI's controller where ``--umi-path`` gives a copy of its
code. Periods are taken where commands are issued and, from the simulator's trace, where they arrive.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, report

from prophrl_bringup.bench.servo_task import AMPLITUDE_M, GAIN, LOOKAHEAD_S, chunk

HELP = "steadiness and latency of the servo loop, against a plain loop (and UMI's)"
RATES = (125, 500)
SETTLE_S = 4.0
OURS, PLAIN, UMI = "prophrl", "plain servoL loop in a ROS node", "UMI RTDEInterpolationController"


@dataclasses.dataclass(frozen=True)
class Timing:
    """One contender at one rate. Arrays in s: ``issued`` and ``arrived`` times; ``latency`` command to motion."""

    rate: int
    issued: np.ndarray
    arrived: np.ndarray
    latency: np.ndarray

    def error_ms(self, seen: bool = False) -> np.ndarray:
        """|period - nominal| in ms, as issued or as seen by the robot."""
        return np.abs(np.diff(self.arrived if seen else self.issued) - 1.0 / self.rate) * 1e3

    @property
    def missed(self) -> int:
        """Nominal cycles in which no command was issued."""
        cycles = np.round(np.diff(self.issued) * self.rate)
        return int(np.maximum(cycles - 1, 0).sum())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="measured length of each run (default 30, at most 55)"
    )
    parser.add_argument("--umi-path", help="folder with a copy of UMI's public code (or several, joined by ':')")
    parser.add_argument("--bundle", type=Path, default=Path("bundles/grasp_bottle/sft"), help="policy that runs beside")


def measure(contender: str, rate: int, arguments: argparse.Namespace, folder: Path, domain: int) -> tuple[Timing, str]:
    """One run of one contender; also says what ran beside it."""
    from prophrl_bringup.bench.arm_rig import ArmRig

    servo = {"robot__servo_rate": rate, "robot__servo_lookahead": LOOKAHEAD_S, "robot__servo_gain": GAIN}
    with ArmRig(folder, f"127.67.0.{domain}", domain, cameras=True, **servo) as rig:
        beside = _start_neighbours(rig, arguments.bundle)
        log = folder / "issued.f64"
        log.unlink(missing_ok=True)
        program, turn = _start_contender(rig, contender, rate, log, arguments)
        begin = time.monotonic() + SETTLE_S
        end = begin + arguments.seconds
        turn(end + 0.5)
        rig.control.timeout = 60.0
        trace = rig.control.request("trace", seconds=min(60.0, time.monotonic() - begin))
        program.stop()
        issued = np.fromfile(log)
    arrived = np.array([row[0] for row in trace["commands"]])
    commanded = np.array([row[3] for row in trace["commands"]])
    delay = np.median([a - issued[issued <= a][-1] for a in arrived[len(arrived) // 2 :][:200] if (issued <= a).any()])
    latency = _lag(arrived, _sideways(commanded, contender == OURS), trace["motion"]) + delay
    inside = lambda times: times[(times >= begin) & (times <= end)]  # noqa: E731
    return Timing(rate, inside(issued), inside(arrived), latency), beside


def _start_neighbours(rig, bundle: Path) -> str:
    """Camera and policy beside the servo loop; the policy's chunks go nowhere."""
    rig.start_cameras()
    if not bundle.is_dir():
        return "camera_node (no policy bundle found)"
    rig.start_policy(bundle, "-r", "arm/chunk:=policy/chunk")
    return "camera_node, policy_node"


def _start_contender(rig, contender: str, rate: int, log: Path, arguments: argparse.Namespace):
    """Start it; returns its program and a function that keeps it moving until a monotonic time."""
    client = rig.client
    if contender == OURS:
        program = rig.start_arm(cycle_log=log)
        client.home()
        client.start_episode()

        def turn(end: float) -> None:
            start = time.monotonic()
            while time.monotonic() < end:
                client.send_chunk(
                    chunk(time.monotonic() - start, client.spec.chunk_steps, client.spec.step_period, 1.0)
                )
                client.spin(0.8)
                if client.status.reason:
                    raise UserError(f"bench control: the arm stopped: {client.status.reason}")

        return program, turn
    module, more = ("plain_servo_node", []) if contender == PLAIN else ("umi_servo", ["--umi-path", arguments.umi_path])
    program = rig.start(f"prophrl_bringup.bench.{module}", "--ip", rig.ip, "--rate", rate, "--log", log, *more)
    program.wait_for("servoing")
    return program, lambda end: client.feed_policy(end)


def _sideways(commanded: np.ndarray, joints: bool) -> np.ndarray:
    """y (m) of commanded TCPs: from joints (N, 6) or UR poses (N, 6)."""
    return _tool_y(commanded) if joints else commanded[:, 1]


def _tool_y(q: np.ndarray) -> np.ndarray:
    from prophrl_core.cell import load_cell
    from prophrl_core.ur_kinematics import forward

    robot = load_cell("sim").robot
    return np.array([(forward(robot.kinematics, row) @ robot.T_tool0_tcp)[1, 3] for row in q])


def _lag(t_command: np.ndarray, y_command: np.ndarray, motion: list) -> np.ndarray:
    """Seconds by which the true tool passes given places after the command did, at every passage of five levels."""
    t_true, y_true = np.array([row[0] for row in motion]), _tool_y(np.array([row[3] for row in motion]))
    middle = (y_command.max() + y_command.min()) / 2
    lags = []
    for level in middle + AMPLITUDE_M * np.array([-0.5, -0.25, 0.0, 0.25, 0.5]):
        for rising in (True, False):
            commanded, true = _passages(t_command, y_command, level, rising), _passages(t_true, y_true, level, rising)
            for t in commanded:
                later = true[(true > t) & (true < t + 0.5)]
                if len(later):
                    lags.append(later[0] - t)
    return np.array(lags)


def _passages(t: np.ndarray, y: np.ndarray, level: float, rising: bool) -> np.ndarray:
    side = (y >= level) if rising else (y <= level)
    at = np.flatnonzero(side[1:] & ~side[:-1])
    return t[at] + (level - y[at]) / (y[at + 1] - y[at]) * (t[at + 1] - t[at])


def figures(timings: dict[tuple[str, int], Timing]) -> list[Figure]:
    """Ours with the plain loop as the rival; the others' own figures beside them."""
    out = []
    for (contender, rate), timing in timings.items():
        plain = timings.get((PLAIN, rate)) if contender == OURS else None
        prefix = {OURS: "control", PLAIN: "control.plain", UMI: "control.umi"}[contender] + f".{rate}hz"
        for seen, name in ((False, "period_error"), (True, "period_error_seen")):
            error, other = timing.error_ms(seen), plain.error_ms(seen) if plain else None
            for quantile, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                against = {"name": PLAIN, "value": round(float(np.quantile(other, q)), 4)} if plain else None
                value = round(float(np.quantile(error, q)), 4)
                out.append(Figure(f"{prefix}.{name}.{quantile}", value, "ms", len(error), against=against))
        against = {"name": PLAIN, "value": plain.missed} if plain else None
        out.append(Figure(f"{prefix}.missed_cycles", timing.missed, "cycles", len(timing.issued), against=against))
        if len(timing.latency):
            name = (
                "control.command_to_motion.p50"
                if (contender, rate) == (OURS, 125)
                else f"{prefix}.command_to_motion.p50"
            )
            against = (
                {"name": PLAIN, "value": round(float(np.median(plain.latency)) * 1e3, 2)}
                if plain and len(plain.latency)
                else None
            )
            value = round(float(np.median(timing.latency)) * 1e3, 2)
            out.append(Figure(name, value, "ms", len(timing.latency), against=against))
    return out


def run(arguments: argparse.Namespace) -> int:
    if not 5.0 <= arguments.seconds <= 55.0:
        raise UserError(f"--seconds: expected 5 to 55, got {arguments.seconds:g}")
    contenders = [OURS, PLAIN] + ([UMI] if arguments.umi_path else [])
    timings, domain = {}, 93
    for rate in RATES:
        for contender in contenders:
            with tempfile.TemporaryDirectory(prefix="prophrl-bench-") as folder:
                timing, beside = measure(contender, rate, arguments, Path(folder), domain)
            timings[contender, rate] = timing
            error = timing.error_ms()
            print(
                f"{rate} Hz, {contender}, beside {beside}: period error p50 {np.median(error):.3f} ms, "
                f"p99 {np.quantile(error, 0.99):.3f} ms, max {error.max():.2f} ms, missed {timing.missed}",
                flush=True,
            )
    measured = figures(timings)
    report(measured, arguments.json)
    return 0
