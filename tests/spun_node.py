"""The test's own end of the graph: a node in a context of its own, spun by a thread."""

import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor


class SpunNode:
    """``node`` is there from the start; ``spin`` begins once everything is made, ``close`` ends it."""

    def __init__(self, name: str):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def spin(self) -> None:
        """Hear and answer from now on."""
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
