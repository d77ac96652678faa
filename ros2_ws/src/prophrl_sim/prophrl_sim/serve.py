"""The simulated cell on the wire: physics and controller in this process, cameras in another.

``sim_cell --cell FILE --task FILE [--host IP] [--ready-file FILE]``
"""

import argparse
import contextlib
import gc
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time

from prophrl_core.cell import CellSpec, load_cell
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec, load_task

from prophrl_sim.frame_state import FrameState

SNAPSHOT_TICKS = 2
REALTIME_PRIORITY = 40


class SimulatedCell:
    """Physics, controller, gripper and control port on ``host``, and the renderer process."""

    def __init__(self, cell: CellSpec, task: TaskSpec, host: str, cell_name: str, task_name: str):
        from prophrl_sim.camera_trouble import CameraTroubles
        from prophrl_sim.control_port import ControlPort
        from prophrl_sim.controller.arm import PERIOD
        from prophrl_sim.controller.controller import Controller
        from prophrl_sim.controller.event_loop import EventLoop
        from prophrl_sim.faults import Faults
        from prophrl_sim.hand import Hand
        from prophrl_sim.plant import Plant
        from prophrl_sim.scene import build

        self.cell, self.host = cell, host
        self._files = (cell_name, task_name)
        self.plant = Plant(build(cell, task))
        self.plant.reset(0)
        self.loop = EventLoop(PERIOD)
        self.controller = Controller(self.loop, host, self.plant, cell.robot.kinematics, cell.gripper)
        self._frame_state = FrameState.create(len(self.plant.snapshot()))
        self.faults = Faults(self.controller, self._frame_state.stall_cameras)
        self._hand = Hand(self.plant)
        self._troubles = CameraTroubles(cell, self.plant.model)
        commands = {
            "reset": self._reset, "status": self._status, "state": self._state, "trace": self._trace,
            "push": self._hand.push, "camera": self._troubles.request, "quit": self._quit,
        }
        self.port = ControlPort(self.loop.host, host, cell.simulator.control_port, self.faults, commands)
        self.loop.services.append(self.port)
        self._renderer: subprocess.Popen | None = None
        self._ticks = 0

    def open(self) -> None:
        """Listen on every port and start the renderer. UserError when a port is taken or the renderer fails."""
        try:
            self.controller.open()
            self.port.open()
        except OSError as error:
            raise UserError(
                f"simulated cell: expected {self.host} with its ports (30001-30004, 29999, 63352, {self.port.port}) "
                f"free, got {error.strerror}; stop the other simulated cell or give another --host"
            ) from error
        if self.cell.cameras:
            self._start_renderer()

    def _start_renderer(self) -> None:
        cell_name, task_name = self._files
        command = [sys.executable, "-m", "prophrl_sim.camera_server", "--cell", cell_name, "--task", task_name]
        command += ["--host", self.host, "--state", str(self._frame_state.fd)]
        command += ["--troubles", str(self._troubles.memory.fd)]
        self._renderer = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            pass_fds=[self._frame_state.fd, self._troubles.memory.fd],
        )
        if self._renderer.stdout.readline().strip() != b"ready":
            raise UserError(
                f"simulated cell: the renderer did not start (exit status {self._renderer.wait(10)}); "
                "its message is above; run: prophrl doctor"
            )

    def run(self) -> None:
        """Real time until ``stop`` or the command ``quit``."""
        gc.collect()
        gc.freeze()
        gc.disable()
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
        self.loop.run(self._tick)

    def stop(self) -> None:
        self.loop.running = False

    def _tick(self) -> None:
        now = time.monotonic()
        self.faults.tick(now)
        if not self.faults.stalled:
            self._hand.tick()
            self.controller.tick()
            self._ticks += 1
            if self._ticks % SNAPSHOT_TICKS == 0:
                self._frame_state.write(self.plant.snapshot(), now)
        self.port.tick()

    def close(self) -> None:
        self.loop.close()
        if self._renderer is not None:
            self._renderer.terminate()
            try:
                self._renderer.wait(3.0)
            except subprocess.TimeoutExpired:
                self._renderer.kill()
                self._renderer.wait()
        self._frame_state.close()
        self._troubles.memory.close()

    def _reset(self, message: dict) -> dict:
        from prophrl_sim.control_port import number

        seed = int(number(message, "seed", 0, 0, 2**63 - 1))
        self.controller.arm.place_objects(seed)
        return {"ok": True, "seed": seed}

    def _status(self, message: dict) -> dict:
        objects = {name: pose.tolist() for name, pose in self.plant.objects().items()}
        return {
            "ok": True, "success": bool(self.plant.success()), "sim_time": self.plant.time, "objects": objects,
            "lost_ticks": self.loop.lost_ticks,
        }

    def _state(self, message: dict) -> dict:
        state = self.controller.state
        return {
            "ok": True, "q": self.plant.q.tolist(), "qd": self.plant.qd.tolist(), "tcp": self.plant.tcp_pose.tolist(),
            "tcp_force": self.plant.tcp_force.tolist(), "gripper_opening": self.plant.gripper_opening,
            "object_detected": bool(self.plant.object_detected), "controller_time": state.time,
            "robot_mode": state.mode.name, "safety_mode": state.safety.name, "runtime_state": state.runtime.name,
            "stop_reason": state.stop_reason, "remote": state.remote, "speed_slider": state.speed_slider,
        }

    def _trace(self, message: dict):
        from prophrl_sim.control_port import number, trace_reply

        since = time.monotonic() - number(message, "seconds", 10.0, 0.0, 60.0)
        traces = (self.controller.rtde.trace, self.controller.motion_trace)
        recent = [list(itertools.takewhile(lambda row: row[0] >= since, reversed(trace)))[::-1] for trace in traces]
        return trace_reply(*recent)

    def _quit(self, message: dict) -> dict:
        self.stop()
        return {"ok": True}


def run_cell(cell_name: str, task_name: str, host: str | None = None, ready_file: str | None = None) -> None:
    """Serve the cell until it is told to stop. UserError when it cannot start."""
    cell, task = load_cell(cell_name), load_task(task_name)
    if cell.simulator is None:
        raise UserError(f"cell {cell.name}: expected a section 'simulator', found none; give a simulated cell")
    host = host or cell.robot.ip
    if not host.startswith("127."):
        raise UserError(f"simulated cell: expected a loopback address (127.x.y.z) to listen on, got {host}")
    simulated = SimulatedCell(cell, task, host, cell_name, task_name)

    def end(number, frame) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal and ros2 launch both send one
        simulated.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        simulated.open()
        print(f"simulated cell {cell.name} ({task.name}) ready on {host}", flush=True)
        if ready_file:
            pathlib.Path(ready_file).write_text(f"{os.getpid()}\n")
        simulated.run()
    finally:
        simulated.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cell", default="sim", help="cell description, by name or file (default: sim)")
    parser.add_argument("--task", default="grasp_bottle", help="task description, by name or file")
    parser.add_argument("--host", help="loopback address to listen on (default: the cell's robot.ip)")
    parser.add_argument("--ready-file", help="written with the process id once everything listens")


def main() -> None:
    parser = argparse.ArgumentParser(prog="sim_cell", description="A simulated robot cell on the real wires.")
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        run_cell(arguments.cell, arguments.task, arguments.host, arguments.ready_file)
    except UserError as error:
        print(f"prophrl: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
