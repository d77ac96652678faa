"""``prophrl data replay EPISODE``: the arm does again what it did in a recorded episode, and the paths are compared."""

import argparse
import sys
from pathlib import Path

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure, write_figures

HELP = "execute a recorded episode's actions again, in the simulated or the real cell, and compare the tool paths"
TARGET_MM = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("episode", type=Path, help="folder of a whole episode")
    parser.add_argument("--cell", default="sim", help="cell: sim, ur30e, or a path to a .yaml (default: sim)")
    parser.add_argument("--robot-ip", default="", help="address of the robot, instead of the cell's")
    parser.add_argument("--speed", type=float, default=1.0, help="of the recorded pace, 0.1 to 2 (default: 1)")
    parser.add_argument("--run", default="", help="folder of logs, plot and new episode: a name under runs/ or a path")
    parser.add_argument("--yes", action="store_true", help="a real arm may move without asking here")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def confirm(robot: str, plan, speed: float) -> None:
    """A person's word before a real arm (model and address) moves; UserError without one."""
    low, high = plan.poses_N44[:, :3, 3].min(0), plan.poses_N44[:, :3, 3].max(0)
    print(
        f"{robot} will go home and then move for {plan.seconds / speed:.1f} s inside "
        f"x {low[0]:.2f} to {high[0]:.2f}, y {low[1]:.2f} to {high[1]:.2f}, z {low[2]:.2f} to {high[2]:.2f} m."
    )
    if not sys.stdin.isatty():
        raise UserError("replay: expected --yes before a real arm moves, got nobody to ask; lay out the scene first")
    if input("Lay out the scene, stand clear, then type yes: ").strip().lower() != "yes":
        raise UserError("replay: expected yes, got something else; nothing has moved")


def execute(session, plan, episode, version: str) -> tuple[Path, str]:
    """Run the plan on the cell's own processes; the recorded replay and, in a simulator, how it ended."""
    from prophrl_core.episode import new_episode_id
    from prophrl_core.task import load_task

    from prophrl_bringup.cell_processes import running_cell
    from prophrl_bringup.nodes.replay_client import ReplayClient
    from prophrl_bringup.one_cell import OneCell

    simulated = session.cell.simulator is not None
    names = ("arm_node", "gripper_node", "recorder_node", *(("sim_cell",) if simulated else ()))
    episode_id, seed = new_episode_id(session.task, 0), episode.meta.seed
    with OneCell() as alone, running_cell(session, names, alone.check):
        client = ReplayClient(load_task(session.task_file))
        try:
            client.home()
            if simulated:
                control = _control(session.cell)
                control.request("reset", seed=seed)
            client.run(plan, episode_id, seed, version)
            outcome = "aborted"
            if simulated:
                outcome = "success" if control.request("status")["success"] else "failure"
                control.close()
            return Path(client.stop(episode_id, seed, version, outcome, version)), outcome
        finally:
            client.close()


def _control(cell):
    from prophrl_sim.control_client import ControlClient

    return ControlClient(cell.robot.ip, cell.simulator.control_port)


def draw(path: Path, recorded, replayed, seconds: float, speed: float, title: str) -> None:
    """A PNG: measured TCP and gripper of both over the recorded time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(9, 8), sharex=True, constrained_layout=True)
    for i, name in enumerate("xyz"):
        axes[i].plot(recorded.measured_t, recorded.measured_N3[:, i], lw=1.6, label="recorded")
        axes[i].plot(replayed.measured_t * speed, replayed.measured_N3[:, i], lw=1.0, label="replayed")
        axes[i].set_ylabel(f"measured TCP {name} [m]")
    axes[3].plot(recorded.openness_t, recorded.openness_N, lw=1.6)
    axes[3].plot(replayed.openness_t * speed, replayed.openness_N, lw=1.0)
    axes[3].set_ylabel("gripper openness")
    axes[3].set_xlabel("time of the recording since its first step [s]")
    axes[3].set_xlim(-0.2, seconds + 0.5)
    axes[0].legend(loc="lower right", fontsize=8)
    axes[0].set_title(title, fontsize=9)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def report(plan, episode, replay, outcome: str, arguments: argparse.Namespace, run_dir: Path) -> list[Figure]:
    """Print the comparison, draw it; the figures."""
    from prophrl_bringup import replay_plan

    speed = arguments.speed
    recorded = replay_plan.read_path(episode, plan.started)
    replayed = replay_plan.read_path(replay, replay_plan.replayed_from(replay, plan.spec))
    span = (plan.seconds, speed)
    commanded = replay_plan.compare(
        recorded.commanded_t, recorded.commanded_N3, replayed.commanded_t, replayed.commanded_N3, *span
    )
    measured = replay_plan.compare(
        recorded.measured_t, recorded.measured_N3, replayed.measured_t, replayed.measured_N3, *span
    )
    at = np.arange(0.0, plan.seconds, replay_plan.SAMPLE_S)
    wanted = np.interp(at, recorded.openness_t, recorded.openness_N)
    openness = np.abs(wanted - np.interp(at / speed, replayed.openness_t, replayed.openness_N))
    print(f"{'path error [mm]':<18}{'rms':>8}{'p50':>8}{'max':>8}{'nearest rms':>14}")
    for name, error in (("commanded", commanded), ("measured", measured)):
        p50, most = np.median(error.at_mm), error.at_mm.max()
        print(f"{name:<18}{error.rms:8.2f}{p50:8.2f}{most:8.2f}{error.nearest_rms:14.2f}")
    print(f"gripper openness: apart {openness.mean():.3f} in the mean, {openness.max():.3f} at most")
    if outcome != "aborted":
        print(f"outcome: recorded {episode.meta.outcome}, replayed {outcome}")
    title = f"{episode.meta.episode_id} at {speed:g} x: measured path error {measured.rms:.2f} mm rms"
    draw(run_dir / "replay.png", recorded, replayed, plan.seconds, speed, title)
    print(f"replayed episode {replay.folder}, plot {run_dir / 'replay.png'}")
    n, seed = len(measured.at_mm), episode.meta.seed

    def figure(name: str, rms: float, each_mm: np.ndarray) -> Figure:
        return Figure(name, round(rms, 4), "mm", n, high=round(float(each_mm.max()), 4), seed=seed)

    return [
        figure("replay.path_error.rms", measured.rms, measured.at_mm),
        figure("replay.path_error.commanded.rms", commanded.rms, commanded.at_mm),
        figure("replay.path_distance.rms", measured.nearest_rms, measured.nearest_mm),
        Figure("replay.openness_error.mean", round(float(openness.mean()), 4), "openness", n, seed=seed),
    ]  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from prophrl_core.cell import load_cell
    from prophrl_core.episode_reader import read_episode
    from prophrl_core.task import load_task

    from prophrl_bringup import replay_plan
    from prophrl_bringup.session import NO_POLICY, prepare

    episode = read_episode(arguments.episode)
    cell, task = load_cell(arguments.cell), load_task(episode.meta.task)
    replay_plan.check_fits(episode, cell, task)
    plan = replay_plan.make_plan(episode, cell, task.action, arguments.speed)
    if cell.simulator is None and not arguments.yes:
        confirm(f"{cell.robot.model} at {arguments.robot_ip or cell.robot.ip}", plan, arguments.speed)
    session = prepare(
        task.name,
        {
            "cell": arguments.cell, "robot_ip": arguments.robot_ip, "policy": NO_POLICY,
            "run": arguments.run or f"replay-{episode.meta.episode_id}",
        },
    )  # fmt: skip
    print(f"prophrl: replaying {plan.seconds:.1f} s of {episode.meta.episode_id} on cell {cell.name}", flush=True)
    folder, outcome = execute(session, plan, episode, f"replay of {episode.meta.episode_id}"[:128])
    figures = report(plan, episode, read_episode(folder), outcome, arguments, session.run_dir)
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0 if figures[0].value <= TARGET_MM else 1
