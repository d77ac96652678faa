"""Shared memory between the physics process, which writes its state, and the renderer, which reads it."""

import mmap
import os
import struct
import time

import numpy as np

_HEADER = struct.Struct("@QddQ")  # sequence (odd while being written), time of the state, camera stall until, length
_READ_ATTEMPTS = 1000


class FrameState:
    """One physics snapshot, guarded by a sequence number (one writer, any readers, no locks)."""

    def __init__(self, fd: int):
        """``fd``: an anonymous file with the memory; a child process inherits it and attaches with its number."""
        self.fd = fd
        self._memory = mmap.mmap(fd, 0)

    @classmethod
    def create(cls, numbers: int) -> "FrameState":
        """Room for snapshots of ``numbers`` float64; gone when the last process that holds it ends."""
        fd = os.memfd_create("prophrl_frame_state")
        os.ftruncate(fd, _HEADER.size + 8 * numbers)
        state = cls(fd)
        _HEADER.pack_into(state._memory, 0, 0, 0.0, 0.0, numbers)
        return state

    def write(self, snapshot: np.ndarray, now: float) -> None:
        """Publish ``snapshot`` (n,) float64 taken at monotonic time ``now``."""
        sequence, _, stall, numbers = _HEADER.unpack_from(self._memory)
        if len(snapshot) != numbers:
            raise ValueError(f"snapshot of {len(snapshot)} numbers, expected {numbers}")
        _HEADER.pack_into(self._memory, 0, sequence + 1, now, stall, numbers)
        np.frombuffer(self._memory, np.float64, numbers, _HEADER.size)[:] = snapshot
        _HEADER.pack_into(self._memory, 0, sequence + 2, now, stall, numbers)

    def stall_cameras(self, until: float) -> None:
        """No frames before monotonic time ``until``."""
        struct.pack_into("@d", self._memory, 16, until)

    def read(self) -> tuple[np.ndarray | None, float, float]:
        """(snapshot or None before the first, its monotonic time, cameras stalled until)."""
        for _ in range(_READ_ATTEMPTS):
            sequence, now, stall, numbers = _HEADER.unpack_from(self._memory)
            snapshot = np.frombuffer(self._memory, np.float64, numbers, _HEADER.size).copy()
            if sequence % 2 == 0 and _HEADER.unpack_from(self._memory)[0] == sequence:
                return (snapshot if sequence else None), now, stall
            time.sleep(1e-5)
        raise TimeoutError("the physics process stopped in the middle of writing its state")

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
