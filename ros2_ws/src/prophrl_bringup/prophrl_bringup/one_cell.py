"""One cell at a time on a ROS domain: two would share arm/home, arm/chunk and every word of the session.

A simulated session beside a real cell could send the real arm home, or resume it. So every command that brings a cell
up takes the domain on this machine, and looks for another cell's arm on the graph before its first node starts.
"""

import os
import subprocess
import sys
import time

from prophrl_core.claim import claim
from prophrl_core.errors import UserError

from prophrl_bringup import environment

LOOK_S = 3.2  # Fast DDS announces a participant every 3 s, and nothing sooner can be relied on
POLL_S, START_S = 0.02, 20.0
STATUS_TOPIC, HOME_SERVICE = "arm/status", "arm/home"


class OneCell:
    """Context manager; the domain is this process's until its end. The look goes on beside it until ``check``."""

    def __enter__(self) -> "OneCell":
        self._domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        self._claim = claim(f"cell-on-domain-{self._domain}")
        if self._claim is None:
            raise self._refusal("one is being run on this machine")
        self._look = subprocess.Popen(
            [sys.executable, "-m", "prophrl_bringup.one_cell"], env=os.environ | environment.unset_defaults(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *exc) -> None:
        self._look.kill()
        self._look.communicate()
        self._claim.close()

    def check(self) -> None:
        """Call it before the first node starts: UserError when an arm_node is on the graph that it would join."""
        try:
            found = self._look.communicate(timeout=START_S)[0].strip()
        except subprocess.TimeoutExpired:
            found = ""
        if self._look.returncode != 0:
            raise UserError("expected to look for other cells on the ROS graph, could not; see: prophrl doctor")
        if found:
            raise self._refusal(f"{found} is there")

    def _refusal(self, words: str) -> UserError:
        return UserError(
            f"expected no other cell on ROS domain {self._domain}, {words}; stop it, or set ROS_DOMAIN_ID to another "
            "number for this one"
        )


def look(seconds: float = LOOK_S) -> str:
    """What of a cell's arm is on the graph; empty when nothing appears for so long."""
    import rclpy

    rclpy.init()
    node = rclpy.create_node("one_cell", start_parameter_services=False, enable_rosout=False)
    end = time.monotonic() + seconds
    while not (found := _arm_on(node)) and time.monotonic() < end:
        time.sleep(POLL_S)
    node.destroy_node()
    rclpy.shutdown()
    return found


def _arm_on(node) -> str:
    if node.get_publishers_info_by_topic(node.resolve_topic_name(STATUS_TOPIC)):
        return STATUS_TOPIC
    service = node.resolve_service_name(HOME_SERVICE)
    return HOME_SERVICE if any(name == service for name, _ in node.get_service_names_and_types()) else ""


if __name__ == "__main__":
    print(look())
