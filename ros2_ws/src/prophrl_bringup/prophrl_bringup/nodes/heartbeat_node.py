"""Asks every node of the session, once a second, whether its executor still answers; publishes /diagnostics."""

import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from prophrl_core.stop_signal import StopSignal
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

PERIOD_S, ASK_AGAIN_S = 1.0, 2.0


class HeartbeatNode(Node):
    """Parameters: ``watch`` (node names), ``silence`` (s without an answer that make a node silent).

    Every rclpy node serves its parameters from its executor, so an answer to an empty request is a sign of life that
    asks nothing of the node. A node that never answered is starting, not silent.
    """

    def __init__(self):
        super().__init__("heartbeat_node")
        self.declare_parameter("cell_file", "")
        self.declare_parameter("task_file", "")
        names = self.declare_parameter("watch", [""]).value
        self.silence = self.declare_parameter("silence", 5.0).value
        self.clients_by_name = {
            name: self.create_client(GetParameters, f"{name}/get_parameters") for name in names if name
        }
        self.answered: dict[str, float] = {}
        self.silent: set[str] = set()
        self.pending: dict[str, object] = {}
        self.asked_at: dict[str, float] = {}
        self.publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(PERIOD_S, self.beat)

    def beat(self) -> None:
        """One round: judge the answers so far, ask again, publish."""
        for name, client in self.clients_by_name.items():
            self._judge(name)
            self._ask(name, client)
        self._publish()

    def _ask(self, name: str, client) -> None:
        asked, now = self.pending.get(name), time.monotonic()
        if asked is not None and not asked.done():
            if now - self.asked_at[name] < ASK_AGAIN_S:
                return
            client.remove_pending_request(asked)  # DDS may have lost the answer
        if client.service_is_ready():
            self.asked_at[name] = now
            self.pending[name] = client.call_async(GetParameters.Request())
            self.pending[name].add_done_callback(lambda _: self.answered.__setitem__(name, time.monotonic()))

    def _judge(self, name: str) -> None:
        if name not in self.answered:
            return
        age = time.monotonic() - self.answered[name]
        if age > self.silence and name not in self.silent:
            self.silent.add(name)
            self.get_logger().error(f"{name} has not answered for {age:.0f} s: it hangs or has died")
        elif age <= self.silence and name in self.silent:
            self.silent.discard(name)
            self.get_logger().info(f"{name} answers again")

    def _publish(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        for name in self.clients_by_name:
            status = DiagnosticStatus(name=f"{name}: heartbeat", hardware_id="prophrl")
            if name not in self.answered:
                status.level, status.message = DiagnosticStatus.STALE, "has not answered yet"
            elif name in self.silent:
                status.level, status.message = DiagnosticStatus.ERROR, "silent"
            else:
                status.level, status.message = DiagnosticStatus.OK, "answers"
            message.status.append(status)
        self.publisher.publish(message)


def main() -> None:
    stop = StopSignal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = HeartbeatNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop:
        executor.spin_once(timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
