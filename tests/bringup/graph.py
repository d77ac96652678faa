"""What tests of a running cell look at: its processes, and whether every node answers."""

import re
import time
from pathlib import Path

import psutil

NODES = ("arm_node", "gripper_node", "camera_front", "recorder_node", "session_node", "operator_node")
START_TIMEOUT_S = 90


def session_processes_of(run_dir: Path) -> dict[str, psutil.Process]:
    """The running processes that were given a file of this run, by node name."""
    found = {}
    for item in psutil.process_iter(["cmdline"]):
        words = item.info["cmdline"] or []
        if any(f"{run_dir}/" in word for word in words) and "--run" not in words:
            name = re.search(r"__node:=(\S+)", " ".join(words))
            found[name[1] if name else Path(words[min(1, len(words) - 1)]).name] = item
    return found


def assert_all_ended(run_dir: Path):
    deadline = time.monotonic() + 5
    while session_processes_of(run_dir):
        assert time.monotonic() < deadline, f"left behind: {session_processes_of(run_dir)}"
        time.sleep(0.1)


def wait_until_all_answer(run_dir: Path, up, more: tuple[str, ...] = ()):
    """Every node has answered a heartbeat; the nodes that were asked are those of the cell."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    rclpy.init()
    node = rclpy.create_node("test_up")
    states: dict[str, bytes] = {}
    node.create_subscription(
        DiagnosticArray, "/diagnostics",
        lambda message: states.update({s.name.split(":")[0]: s.level for s in message.status if "heartbeat" in s.name}), 10,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ({*NODES, *more} <= set(states) and all(level == DiagnosticStatus.OK for level in states.values())):
            assert up.returncode is None, up.output()
            assert time.monotonic() < deadline, f"{states}\n{up.output()}"
            rclpy.spin_once(node, timeout_sec=0.2)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    assert set(states) == {*NODES, *more}
