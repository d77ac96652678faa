"""Windows of a dataset read by threads ahead of their use, so that training finds them ready."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from prophrl_training.datasets.reader import Dataset


def prefetched(
    dataset: Dataset,
    requests: Iterable[tuple[int, Sequence[int]]],
    keys: Sequence[str] | None = None,
    threads: int = 2,
    ahead: int = 16,
) -> Iterator[dict[str, np.ndarray]]:
    """``dataset.window(episode, steps, keys)`` of each (episode, steps), in the order asked for.

    Up to ``ahead`` windows wait. Each thread has files and a cache of its own; UserError comes with the window it
    belongs to.
    """
    own = threading.local()
    opened: list[Dataset] = []

    def read(episode: int, steps: Sequence[int]) -> dict[str, np.ndarray]:
        if not hasattr(own, "dataset"):
            own.dataset = dataset.again()
            opened.append(own.dataset)
        return own.dataset.window(episode, steps, keys)

    waiting: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="dataset")
    try:
        for episode, steps in requests:
            waiting.append(pool.submit(read, episode, steps))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for each in opened:
            each.close()
