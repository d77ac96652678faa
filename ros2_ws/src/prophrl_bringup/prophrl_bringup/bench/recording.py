"""``prophrl bench recording --json F``: what the recorder loses, costs and takes, and what a kill takes from it.

Two cameras, 640x480 at 30 Hz, and a cell's state (joints at 125 Hz) come from processes of their own over DDS with the
cell's profile; every message carries a number. The real recorder_node records them for ``--seconds``; then a plain
rosbags writer records the same load, and LeRobot's recording path the same pictures where an interpreter is given that
has it. With ``--kills`` the recorder is instead killed at random moments, repaired, and counted.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, report

HELP = "messages lost, CPU share and write times of the recorder, beside rosbags and LeRobot; --kills: kill -9"
DOMAIN = 8  # neither a cell on this machine (0) nor its tests (10 and above)
WARM_UP_S, TAIL_S = 2.0, 0.5
PLAIN, LEROBOT = "rosbags' plain MCAP writer", "LeRobot add_frame/save_episode"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each recording (default 60)")
    parser.add_argument("--kills", type=int, default=0, help="kill the recorder so many times instead")
    parser.add_argument("--power-cuts", type=int, default=0, help="cut its disk off so many times instead (needs root)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--lerobot-python", type=Path, help="an interpreter that imports lerobot, for the comparison")
    parser.add_argument("--keep", type=Path, help="keep the recorded episode in this folder")


@dataclasses.dataclass(frozen=True)
class Measured:
    """One recorder at the load. ``write_ms``: p99 of handing data on; ``bytes`` on disk over ``seconds``."""

    expected: int
    lost: dict[str, int]
    cpu_share: float
    write_ms: float
    writes: int
    bytes: int
    seconds: float


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_share(rig, program, seconds: float) -> float:
    """Of one core, while the recorder ``program`` works for ``seconds``."""
    before = cpu_seconds(program.popen.pid)
    rig.spin(seconds)
    return (cpu_seconds(program.popen.pid) - before) / seconds


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _counts(lost: dict[str, np.ndarray]) -> dict[str, int]:
    return {topic: len(numbers) for topic, numbers in lost.items()}


def record_both(rig, seconds: float, keep: Path | None) -> tuple[Measured, Measured, object]:
    """The recorder_node, then the plain writer, at the same load; and what episode.json says."""
    from prophrl_core.episode import read_meta
    from prophrl_interfaces.msg import EpisodeEvent

    from prophrl_bringup.bench.recording_check import kept_numbers, missing

    program, episodes = rig.start_recorder()
    started_ns = rig.event(EpisodeEvent.STARTED, "bench")
    rig.spin(WARM_UP_S)
    share = _cpu_share(rig, program, seconds)
    stopped_ns = rig.event(EpisodeEvent.STOPPED, "bench", outcome="success")
    rig.until(lambda: not rig.status.episode_id and rig.status.path.endswith("/bench"), program)
    program.stop()

    bag, result = rig.folder / "plain", rig.folder / "plain.json"
    words = ("--cell", rig.cell_file, "--bag", bag, "--result", result)
    rival = rig.start_program("prophrl_bringup.bench.plain_bag_node", *words)
    rival.wait_for("recording")
    rig.spin(WARM_UP_S)
    since_ns = rig.now_ns()
    rival_share = _cpu_share(rig, rival, seconds)
    until_ns = rig.now_ns()
    rig.spin(TAIL_S)
    rival.stop()
    sent = rig.stop_load()

    meta = read_meta(episodes / "bench")
    expected, lost = missing(sent, kept_numbers(episodes / "bench", set(sent)), started_ns, stopped_ns)
    disk, recorded_s = meta.disk, (stopped_ns - started_ns) * 1e-9
    ours = Measured(expected, _counts(lost), share, disk.write_p99, disk.writes, _size(episodes), recorded_s)
    if keep is not None:
        shutil.copytree(episodes / "bench", keep / "bench")
    if not result.exists():
        raise UserError(f"bench recording: the plain writer did not finish: {rival.output()[-400:]}")
    took_ms = json.loads(result.read_text())
    expected, lost = missing(sent, kept_numbers(bag, set(sent)), since_ns, until_ns)
    write_ms, recorded_s = float(np.quantile(took_ms, 0.99)), seconds + WARM_UP_S
    plain = Measured(expected, _counts(lost), rival_share, write_ms, len(took_ms), _size(bag), recorded_s)
    return ours, plain, meta


def record_lerobot(python: Path, folder: Path, seconds: float) -> Measured:
    """LeRobot's path with the load's pictures; its lost frames are the ones for which it had no time."""
    from prophrl_bringup.bench.recording_load import pictures

    np.save(folder / "pictures.npy", np.stack(pictures(640, 480, 0)))
    script = Path(__file__).with_name("lerobot_recorder.py")
    result, root = folder / "lerobot.json", folder / "lerobot"
    words = ["--pictures", folder / "pictures.npy", "--root", root, "--seconds", seconds, "--result", result]
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    command = [str(word) for word in (python, script, *words)]
    done = subprocess.run(
        command, env=variables | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}, capture_output=True, text=True,
        timeout=600 + 20 * seconds, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise UserError(f"--lerobot-python: expected {python} to record with lerobot, it ended with: {last}")
    said = json.loads(result.read_text())
    cores = said["loop_cpu_s"] / said["loop_s"]
    print(f"{LEROBOT}: {cores:.2f} cores while recording, then {said['save_s']:.1f} s to save", flush=True)
    missed = {"pictures": 2 * said["missed"]} if said["missed"] else {}
    return Measured(
        2 * (said["added"] + said["missed"]), missed, said["cpu_s"] / said["loop_s"],
        float(np.quantile(said["add_ms"], 0.99)), said["added"], said["bytes"], said["loop_s"],
    )


def figures(ours: Measured, rivals: dict[str, Measured]) -> list[Figure]:
    """Each figure once per rival: ``against`` holds one."""

    def rate(measured: Measured) -> float:
        return measured.bytes / measured.seconds / 1e6

    rows = [
        ("recording.lost", "messages", lambda m: sum(m.lost.values()), ours.expected),
        ("recording.cpu_share", "of one core", lambda m: round(m.cpu_share, 4), ours.expected),
        ("recording.write.p99", "ms", lambda m: round(m.write_ms, 3), ours.writes),
        ("recording.bytes", "MB/s", lambda m: round(rate(m), 3), ours.expected),
    ]
    return [
        Figure(name, value(ours), unit, n, against={"name": rival, "value": value(measured)})
        for name, unit, value, n in rows
        for rival, measured in rivals.items()
    ]


def measure(arguments: argparse.Namespace, folder: Path) -> list[Figure]:
    """The recordings, one after the other."""
    from prophrl_bringup.bench.recorder_rig import RecorderRig

    print(f"two cameras and the state for {arguments.seconds:.0f} s, twice ...", flush=True)
    with RecorderRig(folder, DOMAIN) as rig:
        ours, plain, meta = record_both(rig, arguments.seconds, arguments.keep)
    rivals = {PLAIN: plain}
    if arguments.lerobot_python:
        print(f"{LEROBOT} for {arguments.seconds:.0f} s ...", flush=True)
        rivals[LEROBOT] = record_lerobot(arguments.lerobot_python, folder, arguments.seconds)
    for name, measured in (("recorder_node", ours), *rivals.items()):
        print(
            f"{name:<32} lost {measured.lost or 0} of {measured.expected}, {measured.cpu_share:.3f} of one core, "
            f"write p99 {measured.write_ms:.2f} ms, {measured.bytes / 1e6:.0f} MB in {measured.seconds:.0f} s"
        )
    disk, counted = meta.disk, sum(stream.lost for stream in meta.streams)
    syncs = f"p50 {disk.sync_p50} ms, p99 {disk.sync_p99} ms, max {disk.sync_max} ms"
    print(f"recorder_node: counted {counted} lost itself; syncs {syncs}")
    sync = Figure("recording.sync.p99", disk.sync_p99, "ms", disk.syncs, high=disk.sync_max)
    return [*figures(ours, rivals), sync]


def kill(arguments: argparse.Namespace, folder: Path) -> list[Figure]:
    """The recorder killed ``--kills`` times."""
    from prophrl_bringup.bench.recorder_rig import RecorderRig
    from prophrl_bringup.bench.recording_kills import run_kills

    with RecorderRig(folder, DOMAIN) as rig:
        accounts = run_kills(rig, arguments.kills, arguments.seed)
    lost = sum(len(times) for a in accounts for times in a.lost.values())
    for number, one in enumerate(accounts):
        for topic, times in one.lost.items():
            print(f"kill {number + 1}: {len(times)} of {topic}, sent {times.min():.2f} to {times.max():.2f} s into it")
    expected, reach = sum(a.expected for a in accounts), [a.reach_s for a in accounts]
    print(f"{len(accounts)} kills: {lost} of {expected} messages older than one second lost")
    return [
        Figure("recording.kill.lost_before_last_second", lost, "messages", expected, seed=arguments.seed),
        Figure("recording.kill.count", len(accounts), "kills", len(accounts), seed=arguments.seed),
        Figure(
            "recording.kill.last_message_age.p50", round(float(np.median(reach)), 4), "s", len(reach),
            round(min(reach), 4), round(max(reach), 4), arguments.seed,
        ),
    ]  # fmt: skip


def cut_power(arguments: argparse.Namespace, folder: Path) -> list[Figure]:
    """The recorder's disk copied ``--power-cuts`` times while it records."""
    from prophrl_bringup.bench.recorder_rig import RecorderRig
    from prophrl_bringup.bench.recording_power import run_cuts

    with RecorderRig(folder, DOMAIN) as rig:
        results = run_cuts(rig, arguments.power_cuts, arguments.seed, folder)
    ages, copies = zip(*results, strict=True)
    print(f"{len(results)} power cuts; each copy of the disk took {1e3 * max(copies):.0f} ms at most")
    return [
        Figure(
            "recording.power_cut.oldest_lost_age.p50", round(float(np.median(ages)), 4), "s", len(ages),
            round(min(ages), 4), round(max(ages), 4), arguments.seed,
        ),
    ]  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="prophrl-bench-") as folder:
        chosen = kill if arguments.kills else cut_power if arguments.power_cuts else measure
        measured = chosen(arguments, Path(folder))
    report(measured, arguments.json)
    return 0
