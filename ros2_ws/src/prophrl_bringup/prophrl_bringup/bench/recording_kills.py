"""``kill -9`` of the real recorder_node at random moments, repair, and an account by sequence numbers."""

import dataclasses
import random
import shutil
import time
from pathlib import Path

import numpy as np
from prophrl_cell.recorder.repair import repair_episode
from prophrl_core.episode import PARTIAL_SUFFIX
from prophrl_core.errors import UserError
from prophrl_interfaces.msg import EpisodeEvent

from prophrl_bringup.bench.recorder_rig import RecorderRig
from prophrl_bringup.bench.recording_check import kept_numbers, missing, newest_kept

GRACE_NS = 1_000_000_000  # what a kill may cost


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill; times in wall-clock ns. ``stopped_ns`` is 0 when it came before the end of the trial."""

    bag: Path
    started_ns: int
    stopped_ns: int
    killed_ns: int


@dataclasses.dataclass(frozen=True)
class Account:
    """What one kill cost: of ``expected`` messages older than a second, ``lost`` (s since the start of the trial, by
    topic); ``reach_s`` of silence at the end."""

    expected: int
    lost: dict[str, np.ndarray]
    reach_s: float


def kill_once(rig: RecorderRig, number: int, rng: random.Random, trial_s: float) -> Kill:
    """Record a trial of ``trial_s`` and kill the recorder between 1.2 s after its start and 0.6 s after its end."""
    episode, moment = f"kill-{number:03d}", rng.uniform(1.2, trial_s + 0.6)
    program, folder = rig.start_recorder()
    started_ns = rig.event(EpisodeEvent.STARTED, episode)
    begun, stopped_ns = time.monotonic(), 0
    rig.spin(min(moment, trial_s))
    if moment > trial_s:
        stopped_ns = rig.event(EpisodeEvent.STOPPED, episode, outcome="success")
        rig.spin(moment - (time.monotonic() - begun))
    killed_ns = time.time_ns()
    program.popen.kill()
    program.popen.wait()
    if (folder / (episode + PARTIAL_SUFFIX)).exists():
        repair_episode(folder / (episode + PARTIAL_SUFFIX))
    if not (folder / episode).exists():
        raise UserError(f"bench recording: kill {number}: expected an episode in {folder}, found none")
    return Kill(folder / episode, started_ns, stopped_ns, killed_ns)


def account(kill: Kill, sent: dict[str, np.ndarray]) -> Account:
    """Compare one repaired episode with what was sent."""
    kept = kept_numbers(kill.bag, set(sent))
    until_ns = kill.killed_ns - GRACE_NS
    if kill.stopped_ns:
        until_ns = min(until_ns, kill.stopped_ns)
    expected, gone = missing(sent, kept, kill.started_ns, until_ns)
    lost = {topic: (sent[topic][numbers] - kill.started_ns) * 1e-9 for topic, numbers in gone.items()}
    return Account(expected, lost, max(0.0, (kill.killed_ns - newest_kept(sent, kept)) * 1e-9))


def run_kills(rig: RecorderRig, kills: int, seed: int, trial_s: float = 3.0) -> list[Account]:
    """``kills`` kills one after the other; ends the load."""
    rng = random.Random(seed)
    done = []
    for number in range(kills):
        done.append(kill_once(rig, number, rng, trial_s))
        into_s = (done[-1].killed_ns - done[-1].started_ns) * 1e-9
        print(f"kill {number + 1} of {kills}: {into_s:.2f} s into the trial", flush=True)
    sent = rig.stop_load()
    accounts = [account(kill, sent) for kill in done]
    for kill in done:
        shutil.rmtree(kill.bag.parent)
    return accounts
