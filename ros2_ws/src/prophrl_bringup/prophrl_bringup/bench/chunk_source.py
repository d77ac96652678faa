"""Publishes chunks to and fro until it is stopped: what the fault bench kills in a policy's place."""

import time

from prophrl_bringup.bench.arm_client import ArmClient

if __name__ == "__main__":
    client = ArmClient(name="chunk_source")
    client.until(lambda: client.status is not None, "arm/status")
    while True:
        client.sway_until(time.monotonic() + 10.0)
