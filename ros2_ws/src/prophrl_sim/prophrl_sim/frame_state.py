"""Shared memory between the physics process, which writes its state, and the renderer, which reads it.

Every field is stored by one aligned store of eight bytes: ``struct.pack_into`` zeroes what it is about to write, and a
reader would see that.
"""

import mmap
import os
import time

import numpy as np

_HEADER_BYTES = 24  # sequence (odd while being written), time of the state, camera stall until
_READ_ATTEMPTS = 1000


class FrameState:
    """One physics snapshot, guarded by a sequence number (one writer, any readers, no locks)."""

    def __init__(self, fd: int):
        """``fd``: an anonymous file with the memory; a child process inherits it and attaches with its number."""
        self.fd = fd
        self._memory = mmap.mmap(fd, 0)
        self._sequence = np.frombuffer(self._memory, np.uint64, 1)
        self._times = np.frombuffer(self._memory, np.float64, 2, 8)
        self._snapshot = np.frombuffer(self._memory, np.float64, -1, _HEADER_BYTES)

    @classmethod
    def create(cls, numbers: int) -> "FrameState":
        """Room for snapshots of ``numbers`` float64; gone when the last process that holds it ends."""
        fd = os.memfd_create("prophrl_frame_state")
        os.ftruncate(fd, _HEADER_BYTES + 8 * numbers)
        return cls(fd)

    def write(self, snapshot: np.ndarray, now: float) -> None:
        """Publish ``snapshot`` (n,) float64 taken at monotonic time ``now``."""
        if len(snapshot) != len(self._snapshot):
            raise ValueError(f"snapshot of {len(snapshot)} numbers, expected {len(self._snapshot)}")
        sequence = int(self._sequence[0])
        self._sequence[0] = sequence + 1
        self._times[0] = now
        self._snapshot[:] = snapshot
        self._sequence[0] = sequence + 2

    def stall_cameras(self, until: float) -> None:
        """No frames before monotonic time ``until``."""
        self._times[1] = until

    def read(self) -> tuple[np.ndarray | None, float, float]:
        """(snapshot or None before the first, its monotonic time, cameras stalled until)."""
        for _ in range(_READ_ATTEMPTS):
            sequence = int(self._sequence[0])
            now, stall = map(float, self._times)
            snapshot = self._snapshot.copy()
            if sequence % 2 == 0 and int(self._sequence[0]) == sequence:
                return (snapshot if sequence else None), now, stall
            time.sleep(1e-5)
        raise TimeoutError("the physics process stopped in the middle of writing its state")

    def close(self) -> None:
        del self._sequence, self._times, self._snapshot
        self._memory.close()
        os.close(self.fd)
