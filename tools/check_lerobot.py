"""Reads a dataset with the real lerobot and compares every row and picture with a reference made from the episodes.

    python3.11 -m venv /tmp/lerobot && /tmp/lerobot/bin/pip install lerobot==0.4.4
    /tmp/lerobot/bin/python tools/check_lerobot.py runs/demo/dataset runs/demo/reference

Runs in that environment of its own and imports nothing of prophrl; tools/lerobot_reference.py writes the reference.
Prints one line per feature, the PSNR of the pictures and ends with status 1 when numbers differ at all, rows are
missing, or a picture is worse than --min-psnr.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import lerobot
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from PIL import Image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--backend", default="pyav", help="lerobot's video backend: pyav or torchcodec")
    parser.add_argument("--min-psnr", type=float, default=30.0, help="dB (default: %(default)s)")
    args = parser.parse_args()
    dataset = LeRobotDataset("local/check", root=args.dataset, video_backend=args.backend)
    expected = dict(np.load(args.reference / "rows.npz"))
    tasks = json.loads((args.reference / "tasks.json").read_text())
    rows = len(next(iter(expected.values())))
    print(f"lerobot {lerobot.__version__}, {args.backend}: {dataset.num_episodes} episodes, {len(dataset)} rows")
    good = len(dataset) == rows and dataset.num_episodes == len(tasks)
    differing = dict.fromkeys(expected, 0)
    squared: dict[str, list[float]] = {key: [] for key in dataset.meta.video_keys}
    for row in range(len(dataset)):
        item = dataset[row]
        good &= item["task"] == tasks[int(item["episode_index"])]
        for name, values in expected.items():
            differing[name] += not np.array_equal(item[name].numpy(), values[row], equal_nan=values.dtype.kind == "f")
        for key, errors in squared.items():
            source = args.reference / key / f"{row:06d}.png"
            if source.is_file():
                wanted = np.asarray(Image.open(source), np.float64)
                errors.append(float(np.mean((item[key].permute(1, 2, 0).numpy() * 255.0 - wanted) ** 2)))
    for name, count in differing.items():
        print(f"{name}: {rows - count} of {rows} rows exactly equal")
        good &= count == 0
    for key, errors in squared.items():
        psnr = [99.0 if e == 0 else 10 * math.log10(255.0**2 / e) for e in errors]
        print(f"{key}: {len(psnr)} pictures, PSNR mean {np.mean(psnr):.2f} dB, lowest {np.min(psnr):.2f} dB")
        good &= len(psnr) > 0 and min(psnr) >= args.min_psnr
    for key in dataset.meta.stats:
        good &= all(np.isfinite(np.asarray(value)).all() for value in dataset.meta.stats[key].values())
    print("good" if good else "NOT good")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
