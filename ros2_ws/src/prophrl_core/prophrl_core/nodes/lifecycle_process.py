"""One lifecycle node as one process: configure, activate, spin, and a clean end on SIGINT or SIGTERM."""

import contextlib
import os
import sys

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from prophrl_core.errors import UserError
from prophrl_core.stop_signal import StopSignal

SPIN_TIMEOUT_S = 0.2


class ProcessNode(LifecycleNode):
    """A lifecycle node whose ``setup`` may fail with a one-line UserError.

    Subclasses implement ``setup`` (configure), ``begin`` (activate), ``end`` (deactivate) and
    ``teardown`` (cleanup and shutdown; safe to call when nothing was set up).
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.declare_parameter("autostart", True)
        self.declare_parameter("cell_file", "")
        self.failure = ""

    def setup(self) -> None: ...

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def teardown(self) -> None: ...

    def text_parameter(self, name: str) -> str:
        """A string parameter that must not be empty."""
        value = self.get_parameter(name).value
        if not value:
            raise UserError(f"{self.get_name()}: expected parameter {name}, got none; start it with -p {name}:=...")
        return value

    def hurry(self, nice: int) -> None:
        """Raise the priority of this process where permitted: of every thread, since the middleware's are running."""
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self.setup()
        except UserError as error:
            self.failure = str(error)
            if not self.get_parameter("autostart").value:
                self.get_logger().error(self.failure)
            self.teardown()
            return TransitionCallbackReturn.FAILURE
        self.failure = ""
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.begin()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.end()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.teardown()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.end()
        self.teardown()
        return TransitionCallbackReturn.SUCCESS


def run(make_node, args: list[str] | None = None) -> int:
    """Run ``make_node()`` until a signal; returns the exit code (2 when configuring failed)."""
    stop = StopSignal()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            node.trigger_configure()
            if node.failure:
                print(f"prophrl: error: {node.failure}", file=sys.stderr, flush=True)
                return 2
            node.trigger_activate()
        while not stop:
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
        return 0
    finally:
        node.end()
        node.teardown()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.shutdown()
