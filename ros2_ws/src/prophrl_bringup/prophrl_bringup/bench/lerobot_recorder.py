"""The rival: LeRobot's own recording path, run by an interpreter that has ``lerobot`` and need not have ROS.

``python lerobot_recorder.py --root FOLDER --seconds S --result F``

What ``lerobot-record`` does with two cameras: 30 times a second the newest pictures and the newest state go through
``add_frame``; ``save_episode`` encodes the video. Pictures come from memory, so no reception is counted against it.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

RATE, WIDTH, HEIGHT = 30, 640, 480


def cpu_s() -> float:
    """User and system seconds of this process and of the children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="(P, H, W, 3) uint8 in a .npy file")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--result", type=Path, required=True)
    arguments = parser.parse_args()
    pool = np.load(arguments.pictures, allow_pickle=False)
    vector = {"dtype": "float32", "names": None}
    video = {"dtype": "video", "shape": (HEIGHT, WIDTH, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.images.left": video, "observation.images.right": video,
        "observation.state": vector | {"shape": (6,)}, "action": vector | {"shape": (7,)},
    }  # fmt: skip
    dataset = LeRobotDataset.create(
        "prophrl/bench", RATE, features, root=arguments.root, image_writer_threads=8, use_videos=True
    )
    state, action, took_ms, missed = np.zeros(6, np.float32), np.zeros(7, np.float32), [], 0
    cpu, begun, tick = cpu_s(), time.monotonic(), 0
    while (now := time.monotonic() - begun) < arguments.seconds:
        due = int(now * RATE)
        missed += max(0, due - tick)
        tick = max(due, tick)
        frame = {
            "observation.images.left": pool[tick % len(pool)], "observation.images.right": pool[(tick + 3) % len(pool)],
            "observation.state": state, "action": action, "task": "bench",
        }  # fmt: skip
        called = time.perf_counter()
        dataset.add_frame(frame)
        took_ms.append(1e3 * (time.perf_counter() - called))
        tick += 1
        time.sleep(max(0.0, tick / RATE - (time.monotonic() - begun)))
    elapsed, loop_cpu = time.monotonic() - begun, cpu_s() - cpu
    print(f"{len(took_ms)} frames added, saving", file=sys.stderr, flush=True)
    saving = time.monotonic()
    dataset.save_episode()
    dataset.finalize()
    result = {
        "added": len(took_ms), "missed": missed, "add_ms": took_ms, "loop_s": elapsed, "loop_cpu_s": loop_cpu,
        "save_s": time.monotonic() - saving, "cpu_s": cpu_s() - cpu,
        "bytes": sum(path.stat().st_size for path in arguments.root.rglob("*") if path.is_file()),
    }  # fmt: skip
    arguments.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
