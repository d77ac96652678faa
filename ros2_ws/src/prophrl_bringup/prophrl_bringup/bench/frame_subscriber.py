"""Counts what arrives of the pictures that ``frame_player`` sent, and how late.

``python -m prophrl_bringup.bench.frame_subscriber --topics T... --seconds S --result F``
"""

import argparse
import functools
import json
import time
from pathlib import Path

import rclpy
from prophrl_cell.image_cdr import header_stamp_ns, read_image
from prophrl_core.clock import realtime_to_monotonic
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from prophrl_bringup.bench.frame_player import RATE, read_mark

START_TIMEOUT_S, WARM_UP_S, TAIL_S = 60.0, 2.0, 0.5


class Stream:
    """What came of one topic."""

    def __init__(self):
        self.numbers: list[int] = []
        self.latency_ms: list[float] = []
        self.stamp_error_ms: list[float] = []

    def saw(self, message: bytes) -> None:
        now_ns = time.monotonic_ns()
        number, sent_ns = read_mark(read_image(message).pixels)
        self.numbers.append(number)
        self.latency_ms.append((now_ns - sent_ns) * 1e-6)
        self.stamp_error_ms.append(realtime_to_monotonic(header_stamp_ns(message)) * 1e3 - sent_ns * 1e-6)

    def clear(self) -> None:
        for values in (self.numbers, self.latency_ms, self.stamp_error_ms):
            values.clear()

    def result(self, seconds: float) -> dict:
        """Frames expected and lost: gaps in the numbers, and silence at either end of the window."""
        span = self.numbers[-1] - self.numbers[0] + 1 if self.numbers else 0
        expected = max(span, round((seconds - TAIL_S) * RATE))
        return {
            "expected": expected, "lost": expected - len(self.numbers),
            "latency_ms": self.latency_ms, "stamp_error_ms": self.stamp_error_ms,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topics", nargs="+", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--result", type=Path, required=True)
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node("frame_subscriber")
    streams = {topic: Stream() for topic in arguments.topics}
    for topic, stream in streams.items():
        node.create_subscription(
            Image, topic, functools.partial(Stream.saw, stream), qos_profile_sensor_data, raw=True
        )
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin_until(deadline: float, condition=lambda: False) -> None:
        while time.monotonic() < deadline and not condition():
            executor.spin_once(timeout_sec=0.1)

    spin_until(time.monotonic() + START_TIMEOUT_S, lambda: all(s.numbers for s in streams.values()))
    spin_until(time.monotonic() + WARM_UP_S)
    for stream in streams.values():
        stream.clear()
    spin_until(time.monotonic() + arguments.seconds)
    results = {topic: stream.result(arguments.seconds) for topic, stream in streams.items()}
    partial = arguments.result.with_suffix(".partial")
    partial.write_text(json.dumps(results))
    partial.replace(arguments.result)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
