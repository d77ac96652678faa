"""The launch description of a task: the processes of ``processes.py``, started by ros2 launch."""

import contextlib
import sys

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node
from prophrl_core.errors import UserError

from prophrl_bringup import environment
from prophrl_bringup.one_cell import OneCell
from prophrl_bringup.processes import (
    INTERRUPT_GRACE_S,
    RESTART_DELAY_S,
    RESTARTS,
    TERMINATE_GRACE_S,
    USER_ERROR_STATUS,
    Process,
    session_processes,
)
from prophrl_bringup.session import ARGUMENTS, prepare

READY_POLL_S = 0.2
_held = contextlib.ExitStack()  # the ROS domain, as long as this process runs


def task_launch_description(task: str) -> LaunchDescription:
    """What ``<task>.launch.py`` returns."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    variables = [SetEnvironmentVariable(name, value) for name, value in environment.unset_defaults().items()]
    return LaunchDescription([*declared, *variables, OpaqueFunction(function=_start_session, args=[task])])


def _start_session(context, task: str) -> list:
    arguments = {name: context.launch_configurations[name] for name in ARGUMENTS}
    try:
        session = prepare(task, arguments)
        processes = session_processes(session)
        _held.enter_context(OneCell()).check()
    except UserError as error:
        sys.exit(f"prophrl: error: {error}")
    notice = LogInfo(msg=f"cell {session.cell.name}, task {session.task}, logs and episodes in {session.run_dir}")
    return [notice, *_start(processes)]


def _start(processes: list[Process]) -> list:
    """Actions that start the processes in order, pausing at one that has to be ready first."""
    actions = []
    for index, process in enumerate(processes):
        actions += _start_one(process, RESTARTS)
        if process.ready_file is not None:
            return [*actions, _when_ready(process, processes[index + 1 :])]
    return actions


def _when_ready(process: Process, following: list[Process]) -> OpaqueFunction:
    def look(context) -> list:
        if process.ready_file.exists():
            return _start(following)
        return [TimerAction(period=READY_POLL_S, actions=[OpaqueFunction(function=look)])]

    return OpaqueFunction(function=look)


def launch_action(process: Process) -> ExecuteProcess:
    """The action that runs ``process.command()`` (launch_ros adds one more, empty, --ros-args)."""
    common = {"output": "both", "sigterm_timeout": str(INTERRUPT_GRACE_S), "sigkill_timeout": str(TERMINATE_GRACE_S)}
    if process.parameters is None:
        return ExecuteProcess(cmd=process.command(), name=process.name, **common)
    return Node(
        package=process.package,
        executable=process.executable,
        exec_name=process.name,
        arguments=list(process.arguments),
        ros_arguments=list(process.ros_arguments),
        **common,
    )


def _end_with_error(words: str) -> OpaqueFunction:
    """An exception is what makes ros2 launch stop everything and end with a status other than 0."""

    def fail(context) -> None:
        raise RuntimeError(words)

    return OpaqueFunction(function=fail)


def _start_one(process: Process, restarts_left: int) -> list:
    action = launch_action(process)

    def on_exit(event, context) -> list:
        if context.is_shutdown:
            return []
        if process.last and event.returncode == 0:
            return [EmitEvent(event=Shutdown(reason="all trials ran"))]
        if process.restart and event.returncode != USER_ERROR_STATUS and restarts_left:
            again = _start_one(process, restarts_left - 1)
            return [
                LogInfo(msg=f"{process.name} ended with {event.returncode}; starting it again"),
                TimerAction(period=RESTART_DELAY_S, actions=again),
            ]
        if process.optional:
            return [LogInfo(msg=f"{process.name} ended with {event.returncode}; going on without it")]
        return [_end_with_error(f"{process.name} ended with {event.returncode}; its last lines say why")]

    return [RegisterEventHandler(OnProcessExit(target_action=action, on_exit=on_exit)), action]
