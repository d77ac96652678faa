"""``prophrl bench reading``: how fast a dataset's pictures and rows come, beside a reader that starts anew."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

HELP = "measure how fast a dataset is read: pictures in order, at random and cached, and rows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, required=True, help="folder of a LeRobot dataset with videos")
    parser.add_argument("--pictures", type=int, default=400, help="random pictures to read (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="rows in a training batch (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="that read ahead (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="picks the pictures (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(args: argparse.Namespace) -> int:
    import numpy as np
    from prophrl_core.errors import UserError
    from prophrl_core.figures import Figure, report

    from prophrl_training.datasets.prefetch import prefetched
    from prophrl_training.datasets.reader import open_dataset

    dataset = open_dataset(args.dataset, cache_bytes=4 << 30)
    videos = [key for key in dataset.image_keys if dataset.features[key].dtype == "video"]
    if not videos:
        raise UserError(f"{args.dataset}: expected a dataset with videos, found none")
    key, lengths = videos[0], [entry.length for entry in dataset.episodes]
    rng = np.random.default_rng(args.seed)
    episodes = rng.choice(len(lengths), args.pictures, p=np.array(lengths) / sum(lengths))
    picks = [(int(episode), int(rng.integers(lengths[episode]))) for episode in episodes]
    distinct = list(dict.fromkeys(picks))

    in_order = _rate(lambda: sum(1 for e in range(len(lengths)) for _ in dataset.frames(e, key)), sum(lengths))
    at_random = _rate(lambda: [dataset.window(e, [step], [key]) for e, step in distinct], len(distinct))
    cached = _rate(lambda: [dataset.window(e, [step], [key]) for e, step in picks], len(picks))
    anew = _rate(lambda: [_anew(dataset, e, step, key) for e, step in distinct], len(distinct))
    requests = [(e, [step]) for e, step in distinct]
    by_threads = _rate(lambda: list(prefetched(dataset, requests, [key], args.threads)), len(distinct))
    columns = [f.name for f in dataset.features.values() if not f.is_image]
    rows = _rate(lambda: [_batch(dataset, columns, args.batch, seed) for seed in range(50)], 50 * args.batch)

    rival = {"name": "open, seek and decode for every picture", "value": anew}
    n, seed = len(distinct), args.seed
    figures = [
        Figure("reading.pictures.in_order", in_order, "1/s", sum(lengths)),
        Figure("reading.pictures.random", at_random, "1/s", n, seed=seed, against=rival),
        Figure("reading.pictures.cached", cached, "1/s", len(picks), seed=seed, against=rival),
        Figure("reading.pictures.threads", by_threads, "1/s", n, seed=seed, against=rival),
        Figure("reading.rows.random", rows, "1/s", 50 * args.batch, seed=seed),
    ]
    report(figures, args.json)
    return 0


def _rate(work, count: int) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def _batch(dataset, columns: list[str], size: int, seed: int) -> None:
    """Rows of a random batch, one by one, as a training loop with shuffled samples asks for them."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for _ in range(size):
        episode = int(rng.integers(len(dataset.episodes)))
        dataset.window(episode, [int(rng.integers(dataset.episodes[episode].length))], columns)


def _anew(dataset, episode: int, step: int, key: str):
    """One picture the simple way: open the video, seek to the key frame before, decode up to the picture."""
    import av

    file, begin = dataset.episodes[episode].videos[key]
    wanted = begin + step / dataset.fps
    with av.open(str(dataset.folder / file)) as container:
        stream = container.streams.video[0]
        container.seek(int((wanted - 0.5 / dataset.fps) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time >= wanted - 0.5 / dataset.fps:
                return frame.to_ndarray(format="rgb24")
    return None
