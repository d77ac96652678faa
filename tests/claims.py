"""Values that no other test on this machine has at the same time: ROS domains and loopback addresses."""

import fcntl
import itertools
import os
import tempfile
from pathlib import Path

# Domains above 101 reach into Linux's range of ephemeral ports.
DOMAINS = range(10, 101)
ADDRESSES = [f"127.77.{a}.{b}" for a in range(1, 5) for b in range(1, 250)]
_claims = itertools.count(os.getpid())


class Claim:
    """One value of a pool, held against every other test run on the machine by a lock on a file.

    Each claim starts looking one further than the last, so that a test does not get what the one before it just left.
    """

    def __init__(self, kind: str, pool):
        pool = list(pool)
        start = next(_claims) % len(pool)
        for value in pool[start:] + pool[:start]:
            path = Path(tempfile.gettempdir()) / f"prophrl-test-{kind}-{value}.lock"
            handle = path.open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.close()
                continue
            self.value, self._handle = value, handle
            return
        raise RuntimeError(f"no free {kind} among {len(pool)}; other test runs hold them all")

    def release(self) -> None:
        self._handle.close()
