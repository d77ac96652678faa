"""Power cuts at random moments, as far as a machine that stays on can show them: the block device under the recorder
is copied while it records, which holds what had reached the disk and nothing that only the kernel had.

Needs the right to mount: an ext4 image in memory, mounted through a loop device, is what the recorder writes to.
"""

import contextlib
import dataclasses
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from prophrl_cell.recorder.repair import repair_episode
from prophrl_core.episode import PARTIAL_SUFFIX
from prophrl_core.errors import UserError
from prophrl_interfaces.msg import EpisodeEvent

from prophrl_bringup.bench.recorder_rig import RecorderRig
from prophrl_bringup.bench.recording_check import kept_numbers, missing

IMAGE_MB = 96
SHARED_MEMORY = Path("/dev/shm")


@dataclasses.dataclass(frozen=True)
class Cut:
    """One cut at ``cut_ns``: the bag that was repaired from the copy, None when the copy held nothing of it."""

    bag: Path | None
    started_ns: int
    cut_ns: int
    copy_s: float


@contextlib.contextmanager
def mounted(image: Path, folder: Path):
    """An ext4 image mounted on ``folder``; UserError where that is not permitted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"--power-cuts: expected the right to mount, got: {done.stderr.strip()}; run it as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def run_cuts(rig: RecorderRig, cuts: int, seed: int, folder: Path) -> list[tuple[float, float]]:
    """By cut: age (s) at the cut of the oldest message that the copied disk lacks, and seconds that the copy took.

    Ends the load.
    """
    rng, done = random.Random(seed), []
    for number in range(cuts):
        done.append(_cut(rig, number, rng.uniform(1.5, 4.0), folder))
        print(f"power cut {number + 1} of {cuts}", flush=True)
    sent = rig.stop_load()
    return [(_oldest_lost_s(cut, sent), cut.copy_s) for cut in done]


def _cut(rig: RecorderRig, number: int, moment: float, folder: Path) -> Cut:
    image, copy = SHARED_MEMORY / f"prophrl-{folder.name}.img", SHARED_MEMORY / f"prophrl-{folder.name}-cut.img"
    episode, rescued = f"cut-{number:03d}", folder / "rescued"
    rescued.mkdir(exist_ok=True)
    try:
        with image.open("wb") as file:
            file.truncate(IMAGE_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        with mounted(image, folder / "disk") as disk:
            program, _ = rig.start_recorder(disk / "episodes")
            started_ns = rig.event(EpisodeEvent.STARTED, episode)
            rig.spin(moment)
            cut_ns, begun = time.time_ns(), time.monotonic()
            shutil.copyfile(image, copy)
            copy_s = time.monotonic() - begun
            program.popen.kill()
            program.popen.wait()
        with mounted(copy, folder / "after") as after:
            partial = after / "episodes" / (episode + PARTIAL_SUFFIX)
            if not partial.is_dir():
                return Cut(None, started_ns, cut_ns, copy_s)
            shutil.copytree(partial, rescued / partial.name)
        try:
            repair_episode(rescued / partial.name)
        except UserError as error:
            print(f"prophrl: {error}", flush=True)
            return Cut(None, started_ns, cut_ns, copy_s)
        return Cut(rescued / episode, started_ns, cut_ns, copy_s)
    finally:
        image.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)


def _oldest_lost_s(cut: Cut, sent: dict[str, np.ndarray]) -> float:
    kept = {topic: [] for topic in sent} if cut.bag is None else kept_numbers(cut.bag, set(sent))
    _, gone = missing(sent, kept, cut.started_ns, cut.cut_ns)
    return max((float(cut.cut_ns - sent[topic][numbers].min()) * 1e-9 for topic, numbers in gone.items()), default=0.0)
