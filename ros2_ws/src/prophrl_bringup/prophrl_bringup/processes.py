"""The one list of processes that run a cell on a task: the launch files and ``prophrl up`` both start these."""

import dataclasses
import json
from pathlib import Path

from prophrl_bringup import environment
from prophrl_bringup.session import Session

USER_ERROR_STATUS = 2  # a process that ends with this has printed its one line and must not be started again
RESTARTS = 3  # of one restartable process in one session
RESTART_DELAY_S = 1.0
INTERRUPT_GRACE_S = 10.0  # from SIGINT to SIGTERM; a node needs about 1 s, a starved machine more
TERMINATE_GRACE_S = 2.0  # from SIGTERM to SIGKILL


@dataclasses.dataclass(frozen=True)
class Process:
    """One process. With ``parameters`` it is a ROS node, without it a plain program.

    Everything listed after a process with a ``ready_file`` waits until that file exists. When a process ends, it is
    started again if ``restart``, otherwise the session ends, but for one that is ``optional``; ``last`` marks the one
    whose end is the session's goal.
    """

    name: str
    package: str
    executable: str
    arguments: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] | None = None
    ready_file: Path | None = None
    restart: bool = False
    last: bool = False
    optional: bool = False

    @property
    def ros_arguments(self) -> tuple[str, ...]:
        """What follows --ros-args: the node's name, then its parameters."""
        if self.parameters is None:
            return ()
        pairs = [("-p", f"{key}:={value}") for key, value in self.parameters]
        return ("-r", f"__node:={self.name}", *(word for pair in pairs for word in pair))

    def command(self) -> list[str]:
        """The full command line."""
        program = str(environment.executable(self.package, self.executable))
        ros = ("--ros-args", *self.ros_arguments) if self.parameters is not None else ()
        return [program, *self.arguments, *ros]


def _yaml(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    """A string that rcl's YAML parser reads as a string, whatever is in it."""
    return json.dumps(value, ensure_ascii=False)


def session_processes(session: Session) -> list[Process]:
    """Every process of a session, in starting order."""
    files = (("cell_file", str(session.cell_file)), ("task_file", str(session.task_file)))

    def node(package: str, executable: str, name: str = "", restart: bool = False, last: bool = False, **parameters):
        values = files + tuple((key, str(value)) for key, value in parameters.items())
        return Process(name or executable, package, executable, parameters=values, restart=restart, last=last)

    processes = []
    if session.cell.simulator is not None:
        ready = session.sim_ready_file
        arguments = ("--cell", str(session.cell_file), "--task", str(session.task_file), "--ready-file", str(ready))
        processes.append(Process("sim_cell", "prophrl_sim", "sim_cell", arguments, ready_file=ready))
    processes += [
        node("prophrl_cell", "arm_node"),
        node("prophrl_cell", "gripper_node"),
        *(
            node("prophrl_cell", "camera_node", name=f"camera_{camera.name}", restart=True, camera=camera.name)
            for camera in session.cell.cameras
        ),
        node("prophrl_cell", "recorder_node", episodes_dir=session.episodes_dir),
        node(
            "prophrl_cell", "session_node", needs_policy=_yaml(session.bundle is not None),
            teleop=_yaml(session.teleop), trial_timeout=session.timeout, seed=session.seed,
            operator=_text(session.operator),
        ),
    ]
    if session.teleop:
        devices = f"[{','.join(_text(name) for name in session.devices)}]"
        processes.append(
            node("prophrl_cell", "teleop_node", restart=True, devices=devices, operator=_text(session.operator))
        )
    if session.bundle is not None:
        processes.append(node("prophrl_policy", "policy_node", restart=True, bundle=session.bundle))
    if session.prophet is not None:
        prophet = node("prophrl_world_model", "prophet_node", restart=True, weights=session.prophet)
        processes.append(dataclasses.replace(prophet, optional=True))
    if session.cell.simulator is not None:
        processes.append(node("prophrl_sim", "operator_node", part="scene" if session.teleop else "all"))
    if session.console_port:
        processes.append(
            node(
                "prophrl_cell", "console_node", restart=True, host=_text(session.console_host),
                port=session.console_port, episodes_dir=session.episodes_dir, trial_timeout=session.timeout,
            )
        )
    watched = ",".join(process.name for process in processes if process.parameters is not None)
    processes.append(node("prophrl_bringup", "heartbeat_node", restart=True, watch=f"[{watched}]"))
    if session.trials:
        processes.append(
            node(
                "prophrl_bringup", "run_trials", last=True, task=session.task, trials=session.trials, seed=session.seed,
                timeout=session.timeout,
            )
        )
    return processes
