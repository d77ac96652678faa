"""``prophrl bench agreement``: the same actions through the fast environment and through the wire, side by side.

The scripted expert's actions are recorded once per scene. Both sides then execute them as overlapping chunks, the way
a policy would send them: in process, and through arm_node, its RTDE process, ur_rtde and the emulated controller.
"""

import argparse
import dataclasses
import json
import socket
import time

import numpy as np
from prophrl_core.errors import UserError
from prophrl_core.stamps import seconds_of

HELP = "execute the same actions in the fast environment and on the wire, and compare paths and outcomes"
LATENCY_S = 0.05  # from observation to chunk in force, on both sides
LATE_S = 0.3  # a window sent this late was held up by a busy machine: the scene is repeated
ATTEMPTS = 3
MODE_TIMEOUT_S = 30.0
SETTLE_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="grasp_bottle", help="task description (default: grasp_bottle)")
    parser.add_argument("--cell", default="sim", help="a cell with a simulator (default: sim)")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address of the emulated robot")
    parser.add_argument("--trials", type=int, default=5, help="scenes (default: 5)")
    parser.add_argument("--seed", type=int, default=5_000_000, help="scene i is laid out with seed + i")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")


@dataclasses.dataclass(frozen=True)
class Execution:
    """TCP positions (N, 3) m at the end of each step, measured, and how the trial ended."""

    tcp_N3: np.ndarray
    success: bool


def expert_actions(env, seed: int) -> np.ndarray:
    """The expert's actions (N, 7) on scene ``seed``, up to the goal or the horizon."""
    from prophrl_sim.experts import expert_for
    from prophrl_sim.imperfection import Imperfections

    env.reset(seed=seed)
    expert = expert_for(env.task)(env, np.random.default_rng([seed, 2]), Imperfections())
    actions = []
    while not env.over:
        actions.append(next(expert))
        env.step(actions[-1])
    rest = np.zeros_like(actions[-1])
    rest[6] = actions[-1][6]
    return np.array(actions + [rest] * 10)


def windows(actions_ND: np.ndarray, chunk_steps: int, execute_steps: int) -> list[np.ndarray]:
    """Overlapping chunks that together execute the actions."""
    return [actions_ND[i : i + chunk_steps] for i in range(0, len(actions_ND), execute_steps)]


def execute_fast(env, seed: int, actions_ND: np.ndarray) -> Execution:
    """The actions in the fast environment."""
    env.reset(seed=seed)
    tcp, success, every = [], False, env.task.execute_steps
    for chunk in windows(actions_ND, env.task.action.chunk_steps, every):
        observed = env.motion.time
        env.motion.run_until(observed + LATENCY_S if tcp else observed)
        env.motion.accept(chunk, env.task.action.step_period, observed)
        for i in range(min(every, len(chunk))):
            env.motion.run_until(observed + (i + 1) * env.task.action.step_period)
            tcp.append(env.plant.tcp_pose[:3, 3].copy())
            success |= env.plant.success()
    return Execution(np.array(tcp), bool(success))


class Wire:
    """A client of a running cell that replays chunks and watches the truth."""

    def __init__(self, cell, task):
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from prophrl_core.nodes.qos import EVENTS, LATEST
        from prophrl_interfaces.msg import ActionChunk, ArmStatus, EpisodeEvent, ExecutedAction
        from rclpy.qos import qos_profile_sensor_data

        self._rclpy, self._task = rclpy, task
        self._chunk_type, self._status_type, self._event_type = ActionChunk, ArmStatus, EpisodeEvent
        rclpy.init()
        self.node = rclpy.create_node("agreement")
        self.mode, self.reason, self.episode_id = None, "", ""
        self.executed, self.poses = [], []
        self.node.create_subscription(ArmStatus, "arm/status", self._on_status, LATEST)
        self.node.create_subscription(ExecutedAction, "arm/executed_action", self.executed.append, 100)
        self.node.create_subscription(PoseStamped, "arm/tcp_pose", self._on_pose, qos_profile_sensor_data)
        self._chunks = self.node.create_publisher(ActionChunk, "arm/chunk", 1)
        self._events = self.node.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self._control = socket.create_connection((cell.robot.ip, cell.simulator.control_port), timeout=10)
        self._lines = self._control.makefile("r")

    def close(self) -> None:
        """Leave the graph."""
        self._control.close()
        self.node.destroy_node()
        self._rclpy.shutdown()

    def ask(self, command: str, **fields) -> dict:
        """One request to the simulator's control port."""
        self._control.sendall((json.dumps({"cmd": command, **fields}) + "\n").encode())
        reply = json.loads(self._lines.readline())
        if not reply.get("ok", False):
            raise UserError(f"simulated cell: {command} was refused: {reply.get('error')}")
        return reply

    def _on_status(self, message) -> None:
        self.mode, self.reason, self.episode_id = message.mode, message.reason, message.episode_id

    def _on_pose(self, message) -> None:
        p = message.pose.position
        self.poses.append((seconds_of(message.header.stamp), p.x, p.y, p.z))

    def spin_until(self, done, timeout: float, what: str) -> None:
        """Handle messages until ``done()``; UserError when it does not come."""
        end = time.monotonic() + timeout
        while not done():
            self._rclpy.spin_once(self.node, timeout_sec=0.005)
            if time.monotonic() > end:
                raise UserError(f"agreement: {what} did not come in {timeout:.0f} s (arm mode {self.mode}: {self.reason})")

    def home(self) -> None:
        """Bring the arm home and wait until it is ready."""
        from std_srvs.srv import Trigger

        ready = self._status_type.MODE_READY
        self.spin_until(lambda: self.mode == ready, MODE_TIMEOUT_S, "a ready arm")
        client = self.node.create_client(Trigger, "arm/home")
        client.wait_for_service(MODE_TIMEOUT_S)
        future = client.call_async(Trigger.Request())
        self.spin_until(future.done, MODE_TIMEOUT_S, "the answer to arm/home")
        moved = time.monotonic() + SETTLE_S
        self.spin_until(lambda: time.monotonic() > moved and self.mode == ready, MODE_TIMEOUT_S, "the home position")

    def execute(self, seed: int, actions_ND: np.ndarray) -> Execution | None:
        """The actions on scene ``seed`` through the running nodes; None when a window was sent too late to count."""
        task, event = self._task, self._event_type
        self.home()
        self.ask("reset", seed=seed)
        episode = f"agreement-{seed}"
        self._events.publish(event(event=event.STARTED, episode_id=episode, task=task.name))
        self.spin_until(lambda: self.episode_id == episode, MODE_TIMEOUT_S, "the episode")
        self.executed.clear()
        self.poses.clear()
        begun, period, success, late = None, task.action.step_period, False, 0.0
        for i, chunk in enumerate(windows(actions_ND, task.action.chunk_steps, task.execute_steps)):
            if i == 0:
                observed = time.time()
            else:
                observed = begun + i * task.execute_steps * period
                self.spin_until(lambda: time.time() >= observed + LATENCY_S, MODE_TIMEOUT_S, "the next window")
                late = max(late, time.time() - observed - LATENCY_S)
            self._send(chunk, observed, episode, i)
            if begun is None:
                self.spin_until(lambda: self.executed, MODE_TIMEOUT_S, "the first executed step")
                begun = seconds_of(self.executed[0].header.stamp) - period
            success |= self.ask("status")["success"]
        end = begun + len(actions_ND) * period
        self.spin_until(lambda: time.time() >= end + 0.1, MODE_TIMEOUT_S, "the end of the motion")
        success |= self.ask("status")["success"]
        self._events.publish(event(event=event.STOPPED, episode_id=episode, outcome="aborted"))
        self.spin_until(lambda: self.episode_id == "", MODE_TIMEOUT_S, "the end of the episode")
        if late > LATE_S:
            print(f"scene {seed}: the machine held a window up by {late:.2f} s, not counted", flush=True)
            return None
        poses = np.array(self.poses)
        at = begun + period * np.arange(1, len(actions_ND) + 1)
        return Execution(np.stack([np.interp(at, poses[:, 0], poses[:, k]) for k in (1, 2, 3)], 1), bool(success))

    def _send(self, chunk_TD: np.ndarray, observed: float, episode: str, sequence: int) -> None:
        spec = self._task.action
        message = self._chunk_type(
            episode_id=episode, spec_id=spec.id, policy_version="agreement", source=self._chunk_type.SOURCE_REPLAY,
            sequence=sequence, step_period=spec.step_period, steps=len(chunk_TD), dims=spec.dims,
            actions=chunk_TD.astype(np.float32).ravel(),
        )  # fmt: skip
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.observation_stamp.sec, fraction = divmod(int(observed * 1e9), 10**9)
        message.observation_stamp.nanosec = fraction
        self._chunks.publish(message)


def compare(cell, task, seeds: list[int]) -> list[tuple[int, Execution, Execution]]:
    """Execute each scene both ways; the cell's sim_cell, arm_node and gripper_node must be running."""
    from prophrl_sim.env import CellEnv

    env = CellEnv(cell, task, images=False)
    wire = Wire(cell, task)
    try:
        pairs = []
        for seed in seeds:
            actions = expert_actions(env, seed)
            executions = (wire.execute(seed, actions) for _ in range(ATTEMPTS))
            on_wire = next((e for e in executions if e is not None), None)
            if on_wire is None:
                raise UserError(f"agreement: scene {seed} was held up {ATTEMPTS} times; run it on a quieter machine")
            pairs.append((seed, execute_fast(env, seed, actions), on_wire))
            print(_line(*pairs[-1]), flush=True)
        return pairs
    finally:
        wire.close()
        env.close()


def apart_mm(fast: Execution, wire: Execution) -> np.ndarray:
    """Distance (N,) in mm between the two measured paths at the end of each step."""
    return 1e3 * np.linalg.norm(fast.tcp_N3 - wire.tcp_N3[: len(fast.tcp_N3)], axis=1)


def _line(seed: int, fast: Execution, wire: Execution) -> str:
    d = apart_mm(fast, wire)
    outcome = {True: "success", False: "failure"}
    return (
        f"scene {seed}: fast {outcome[fast.success]}, wire {outcome[wire.success]}; paths apart "
        f"p50 {np.median(d):.2f} mm, max {d.max():.2f} mm over {len(d)} steps"
    )


def run(arguments: argparse.Namespace) -> int:
    from prophrl_core.figures import Figure, success_figure, write_figures
    from prophrl_core.task import load_task

    from prophrl_bringup.cell_processes import running_cell
    from prophrl_bringup.session import prepare

    session = prepare(
        arguments.task, {"cell": arguments.cell, "robot_ip": arguments.host, "policy": "none", "run": "bench-agreement"}
    )
    if session.cell.simulator is None:
        raise UserError(f"agreement: expected a cell with a simulator, got {session.cell.name}; use --cell sim")
    seeds = list(range(arguments.seed, arguments.seed + arguments.trials))
    with running_cell(session, ("sim_cell", "arm_node", "gripper_node")):
        pairs = compare(session.cell, load_task(session.task_file), seeds)
    apart = np.concatenate([apart_mm(fast, wire) for _, fast, wire in pairs])
    same = sum(fast.success == wire.success for _, fast, wire in pairs)
    print(f"same outcome in {same} of {len(pairs)} scenes; paths apart p50 {np.median(apart):.2f} mm, max {apart.max():.2f} mm")
    if arguments.json:
        name = f"sim.agreement.{session.task}"
        low, high = float(apart.min()), float(apart.max())
        figures = [
            success_figure(f"{name}.same_outcome", same, len(pairs), arguments.seed),
            Figure(f"{name}.path.p50", float(np.median(apart)), "mm", len(apart), low, high, arguments.seed),
            Figure(f"{name}.path.max", high, "mm", len(apart), seed=arguments.seed),
        ]
        write_figures(arguments.json, figures)
    return 0
