"""Writes what a converted dataset must hold, straight from its episodes, for tools/check_lerobot.py to compare with.

    python tools/lerobot_reference.py runs/demo/dataset runs/demo/episodes runs/demo/reference

Runs in the prophrl environment. Rows are resampled anew from the bags, pictures are the recorded ones: neither comes
from the dataset's own files.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
from prophrl_core.action import ActionSpec
from prophrl_core.episode_reader import read_episode
from prophrl_core.task import load_task
from prophrl_training.datasets.conversion import IMAGE_PREFIX, ConversionRules, resample_episode
from prophrl_training.datasets.episode_streams import read_streams
from prophrl_training.datasets.reader import open_dataset
from prophrl_training.datasets.video_writer import VideoSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("episodes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every n-th picture (default: %(default)s)")
    args = parser.parse_args()
    dataset = open_dataset(args.dataset)
    own = dataset.info["prophrl"]
    rules = ConversionRules(**own["rules"] | {"video": VideoSettings(**own["rules"]["video"])})
    task = dataclasses.replace(load_task(own["task"]), action=ActionSpec.from_dict(own["action_spec"]))
    args.out.mkdir(parents=True, exist_ok=True)
    columns, start = {}, 0
    for entry in dataset.episodes:
        episode = read_episode(args.episodes / entry.facts["episode_id"])
        streams = read_streams(episode, task, tuple(own["cameras"]))
        resampled = resample_episode(streams, task, rules)
        for name, values in resampled.columns.items():
            columns.setdefault(name, []).append(values)
        for camera, index_T in resampled.pictures.items():
            folder = args.out / (IMAGE_PREFIX + camera)
            folder.mkdir(exist_ok=True)
            wanted = {}
            for row in range(-start % args.every, len(index_T), args.every):
                wanted.setdefault(int(index_T[row]), []).append(start + row)
            for number, (_, picture) in enumerate(streams.episode.frames(camera)):
                for row in wanted.get(number, ()):
                    cv2.imwrite(str(folder / f"{row:06d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        start += entry.length
    np.savez(args.out / "rows.npz", **{name: np.concatenate(parts) for name, parts in columns.items()})
    (args.out / "tasks.json").write_text(json.dumps([dataset.task(i) for i in range(len(dataset.episodes))]))
    print(f"wrote {start} rows of {len(dataset.episodes)} episodes to {args.out}")


if __name__ == "__main__":
    main()
