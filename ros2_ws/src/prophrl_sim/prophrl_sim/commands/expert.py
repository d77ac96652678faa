"""``prophrl sim expert``: how often the scripted expert solves a task in the simulated cell."""

import argparse
import dataclasses
import functools
import os
import sys
import time

HELP = "run a task's scripted expert in the fast simulation and report its success"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="grasp_bottle", help="task description, by name or path")
    parser.add_argument("--cell", default="sim", help="cell description, by name or path")
    parser.add_argument("--n", type=int, default=100, help="trials (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="trial i starts from scene SEED + i (default %(default)s)")
    parser.add_argument("--human", action="store_true", help="demonstrate like a person: biased aim, tremor, pauses")
    parser.add_argument("--processes", type=int, default=0, help="processes that share the trials (0: one per core)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--video", metavar="DIR", help="write an mp4 of each of the first trials there")
    parser.add_argument("--videos", type=int, default=4, help="how many, with --video (default %(default)s)")


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one trial gave; times in simulated and in wall-clock seconds."""

    seed: int
    success: bool
    seconds: float
    wall_seconds: float


def play(env, seed: int, human: bool) -> Trial:
    """The expert's trial on scene ``seed``."""
    started = time.perf_counter()
    info = _expert_trial(env, seed, human, lambda: None)
    return Trial(seed, info["success"], info["time"], time.perf_counter() - started)


def _expert_trial(env, seed: int, human: bool, watch) -> dict:
    import numpy as np

    from prophrl_sim.experts import expert_for
    from prophrl_sim.imperfection import Imperfections

    _, info = env.reset(seed=seed)
    imperfections = Imperfections.human() if human else Imperfections()
    expert = expert_for(env.task)(env, np.random.default_rng([seed, 2]), imperfections)
    watch()
    while not env.over:
        *_, info = env.step(next(expert))
        watch()
    return info


def run(arguments: argparse.Namespace) -> int:
    from prophrl_core.cell import load_cell
    from prophrl_core.errors import UserError
    from prophrl_core.figures import success_figure, write_figures
    from prophrl_core.task import load_task

    from prophrl_sim.vector_env import play_episodes

    if arguments.n < 1:
        raise UserError(f"--n: expected at least one trial, got {arguments.n}")
    cell, task = load_cell(arguments.cell), load_task(arguments.task)
    processes = min(arguments.processes or os.cpu_count() or 1, arguments.n)
    seeds = range(arguments.seed, arguments.seed + arguments.n)
    trials: list[Trial] = []
    started = time.perf_counter()
    for trial in play_episodes(functools.partial(play, human=arguments.human), seeds, cell, task, processes):
        trials.append(trial)
        succeeded = sum(t.success for t in trials)
        line = f"{task.name}: {len(trials)}/{arguments.n} trials, {succeeded} succeeded"
        _show_progress(line, len(trials), arguments.n)
    name = f"sim.expert.{task.name}.success" if not arguments.human else f"sim.expert_human.{task.name}.success"
    figure = success_figure(name, succeeded, len(trials), arguments.seed)
    _print_table(task.name, trials, figure, time.perf_counter() - started)
    if arguments.json:
        write_figures(arguments.json, [figure])
    if arguments.video:
        _write_videos(arguments.video, cell, task, seeds[: arguments.videos], arguments.human)
    return 0


def _show_progress(line: str, done: int, total: int) -> None:
    """One line that rewrites itself on a terminal, ten lines in all elsewhere."""
    if sys.stdout.isatty():
        print(f"\r{line}", end="\n" if done == total else "", flush=True)
    elif done == total or done % max(1, total // 10) == 0:
        print(line, flush=True)


def _print_table(task: str, trials: list[Trial], figure, wall_seconds: float) -> None:
    seconds = sorted(t.seconds for t in trials)
    failed = ", ".join(str(t.seed) for t in trials if not t.success) or "none"
    interval = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
    rows = [
        ("task", task),
        ("success", f"{100 * figure.value:.1f} %  (95 % interval {interval}, n = {figure.n})"),
        ("trial, simulated", f"median {seconds[len(seconds) // 2]:.1f} s, longest {seconds[-1]:.1f} s"),
        ("speed", f"{sum(seconds) / wall_seconds:.1f} x real time over all processes"),
        ("failed seeds", failed),
    ]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _write_videos(folder: str, cell, task, seeds, human: bool) -> None:
    from pathlib import Path

    from prophrl_sim.env import CellEnv
    from prophrl_sim.video import write_video

    env = CellEnv(cell, task, images=False)
    try:
        for seed in seeds:
            frames = []
            _expert_trial(env, seed, human, lambda: frames.append(env.render()))
            path = Path(folder) / f"{task.name}-{seed}.mp4"
            write_video(path, frames, task.action.rate_hz)
            print(path)
    finally:
        env.close()
