"""The rival: raw subscriptions whose callbacks hand every message to ``rosbags``' plain MCAP writer.

``python -m prophrl_bringup.bench.plain_bag_node --cell F --bag FOLDER --result F``
"""

import argparse
import functools
import importlib
import json
import time
from pathlib import Path

import rclpy
from prophrl_cell.nodes.recorded_qos import profile_of
from prophrl_cell.recorder.message_definitions import load_definition
from prophrl_cell.recorder.topics import topics_for
from prophrl_core.cell import load_cell
from prophrl_core.stop_signal import StopSignal
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rosbags.rosbag2 import StoragePlugin, Writer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--cell", "--bag", "--result"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    stop = StopSignal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("plain_bag_node")
    took_ms: list[float] = []

    def write(connection, message: bytes) -> None:
        begun = time.perf_counter()
        writer.write(connection, time.time_ns(), message)
        took_ms.append(1e3 * (time.perf_counter() - begun))

    with Writer(arguments.bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in topics_for(load_cell(arguments.cell)):
            definition = load_definition(topic.type_name)
            connection = writer.add_connection(
                f"/{topic.topic}", topic.type_name, msgdef=definition.text, rihs01=definition.type_hash
            )
            package, kind, name = topic.type_name.split("/")
            node.create_subscription(
                getattr(importlib.import_module(f"{package}.{kind}"), name), topic.topic,
                functools.partial(write, connection), raw=True,
                qos_profile=profile_of(topic),
            )  # fmt: skip
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        print("recording", flush=True)
        while not stop:
            executor.spin_once(timeout_sec=0.2)
    arguments.result.write_text(json.dumps(took_ms))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
