"""The process of a plain rival: a ROS node whose own thread runs the loop, until SIGINT."""

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

PlainNode = TypeVar("PlainNode", bound=Node)


def run(make_node: Callable[[], PlainNode], ready: str) -> PlainNode:
    """Spin ``make_node()`` in this thread and its ``run`` in another, until it clears ``running``; prints ``ready``."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    signal.signal(signal.SIGINT, lambda *_: setattr(node, "running", False))
    loop = threading.Thread(target=node.run)
    loop.start()
    print(ready, flush=True)
    while node.running:
        rclpy.spin_once(node, timeout_sec=0.1)
    loop.join()
    return node
