"""``prophrl bench cameras --json F``: two cameras, 640x480 at 30 Hz, colour and depth, through the real nodes and DDS.

A frame server plays numbered pictures over the frame link into two camera_node processes (librealsense inside); a
process of its own subscribes to all four image topics. Lost frames and latency are counted from numbers and times
written into the pixels. The same is run once more with Fast DDS's default transports, as the comparison.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, report

from prophrl_bringup import environment

HELP = "frames lost and latency of two cameras through DDS"
CAMERAS = ("left", "right")
TOPICS = ("color/image_raw", "aligned_depth_to_color/image_raw")
DOMAIN = "8"  # neither a cell on this machine (0) nor its tests (10 and above)
STOP_TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each of the two runs (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise in the pictures")


@contextlib.contextmanager
def running(command: list[str], variables: dict[str, str]):
    """A process that is interrupted at the end, and killed when that does not end it."""
    child = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def measure(seconds: float, seed: int, variables: dict[str, str], folder: Path) -> dict[str, dict]:
    """One run; results by topic as ``frame_subscriber`` writes them."""
    ready, result, cell_file = folder / "port", folder / "result.json", folder / "cell.yaml"
    with contextlib.ExitStack() as stack:
        player = [sys.executable, "-m", "prophrl_bringup.bench.frame_player", "--ready-file", ready, "--seed", seed]
        stack.enter_context(running([str(word) for word in player], variables))
        cell_file.write_text(yaml.safe_dump(_cell(_wait_for(ready, 30.0))))
        for name in CAMERAS:
            program = str(environment.executable("prophrl_cell", "camera_node"))
            pairs = ["-r", f"__node:=camera_{name}", "-p", f"cell_file:={cell_file}", "-p", f"camera:={name}"]
            stack.enter_context(running([program, "--ros-args", *pairs], variables))
        topics = [f"camera/{name}/{topic}" for name in CAMERAS for topic in TOPICS]
        subscriber = [sys.executable, "-m", "prophrl_bringup.bench.frame_subscriber", "--seconds", str(seconds)]
        stack.enter_context(running([*subscriber, "--result", str(result), "--topics", *topics], variables))
        return json.loads(_wait_for(result, seconds + 120.0))


def _wait_for(path: Path, timeout_s: float) -> str:
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > deadline:
            raise UserError(f"bench cameras: expected {path.name} within {timeout_s:.0f} s, got none; see the lines above")
        time.sleep(0.1)
    return path.read_text()


def _cell(port: str) -> dict:
    """The simulated cell's description with the two bench cameras."""
    description = yaml.safe_load(find_config("cells", "sim").read_text(encoding="utf-8"))
    common = {"source": "injected", "host": "127.0.0.1", "port": int(port), "T_base_camera": [0.0] * 6}
    return description | {"cameras": [{"name": name} | common for name in CAMERAS]}


def figures(ours: dict[str, dict], default: dict[str, dict], seed: int) -> list[Figure]:
    """Totals over all four image streams."""

    def total(results: dict[str, dict], key: str) -> int:
        return sum(result[key] for result in results.values())

    def pooled(results: dict[str, dict], key: str) -> np.ndarray:
        return np.concatenate([result[key] for result in results.values()]) if results else np.empty(0)

    latency, other, stamps = pooled(ours, "latency_ms"), pooled(default, "latency_ms"), pooled(ours, "stamp_error_ms")
    rival = "default Fast DDS transports"
    lost = Figure(
        "cameras.lost", total(ours, "lost"), "frames", total(ours, "expected"), seed=seed,
        against={"name": rival, "value": total(default, "lost")},
    )
    quantiles = [
        Figure(
            f"cameras.latency.{name}", round(float(np.quantile(latency, q)), 3), "ms", len(latency), seed=seed,
            against={"name": rival, "value": round(float(np.quantile(other, q)), 3)} if len(other) else None,
        )
        for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    ]
    error = round(float(np.quantile(np.abs(stamps), 0.99)), 3)
    return [lost, *quantiles, Figure("cameras.stamp_error.p99", error, "ms", len(stamps), seed=seed)]


def run(arguments: argparse.Namespace) -> int:
    ours = dict(os.environ) | environment.unset_defaults() | {"ROS_DOMAIN_ID": DOMAIN}
    default = {k: v for k, v in ours.items() if not k.endswith("_DEFAULT_PROFILES_FILE")}
    results = []
    for name, variables in (("with the cell's DDS profile", ours), ("with default Fast DDS transports", default)):
        print(f"{len(CAMERAS)} cameras, {arguments.seconds:.0f} s, {name} ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="prophrl-bench-") as folder:
            results.append(measure(arguments.seconds, arguments.seed, variables, Path(folder)))
    measured = figures(*results, arguments.seed)
    report(measured, arguments.json)
    return 0
