"""Many cells at once: one process each."""

import multiprocessing
import os
from typing import Callable, Iterable, Iterator

import gymnasium
from prophrl_core.cell import CellSpec
from prophrl_core.task import TaskSpec

from prophrl_sim.env import CellEnv


def make(n: int, cell: CellSpec, task: TaskSpec, images: bool = True) -> gymnasium.vector.AsyncVectorEnv:
    """``n`` CellEnvs in processes of their own behind Gymnasium's vector interface; close it when done."""

    def one() -> CellEnv:
        return CellEnv(cell, task, images)

    return gymnasium.vector.AsyncVectorEnv([one] * n, context="spawn")


_env: CellEnv | None = None


def _start(cell: CellSpec, task: TaskSpec, images: bool) -> None:
    global _env
    _env = CellEnv(cell, task, images)


def _episode(job: tuple[Callable, int]):
    play, seed = job
    return play(_env, seed)


def play_episodes(
    play: Callable, seeds: Iterable[int], cell: CellSpec, task: TaskSpec, processes: int = 0, images: bool = False
) -> Iterator:
    """Results of ``play(env, seed)`` for every seed, in the order of ``seeds``, as they come.

    ``play`` is a module-level function or a functools.partial of one (it travels to the workers);
    ``processes`` 0 means one per core, 1 stays in this process. Results depend on the seeds alone, not on
    the number of processes.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        env = CellEnv(cell, task, images)
        try:
            for seed in seeds:
                yield play(env, seed)
        finally:
            env.close()
        return
    with multiprocessing.get_context("spawn").Pool(processes, _start, (cell, task, images)) as pool:
        yield from pool.imap(_episode, [(play, s) for s in seeds])
