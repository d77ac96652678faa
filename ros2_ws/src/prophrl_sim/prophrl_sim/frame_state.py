"""Shared memory between the physics process, which writes its state, and the renderer, which reads it."""

import struct
import time
from multiprocessing import resource_tracker, shared_memory

import numpy as np

_HEADER = struct.Struct("@QddQ")  # sequence (odd while being written), time of the state, camera stall until, length
_READ_ATTEMPTS = 1000


class FrameState:
    """One physics snapshot, guarded by a sequence number (one writer, any readers, no locks)."""

    def __init__(self, memory: shared_memory.SharedMemory, owner: bool):
        self._memory, self._owner = memory, owner
        self.name = memory.name

    @classmethod
    def create(cls, numbers: int) -> "FrameState":
        """Room for snapshots of ``numbers`` float64; removed by the creator's ``close``."""
        memory = shared_memory.SharedMemory(create=True, size=_HEADER.size + 8 * numbers)
        _HEADER.pack_into(memory.buf, 0, 0, 0.0, 0.0, numbers)
        return cls(memory, owner=True)

    @classmethod
    def attach(cls, name: str) -> "FrameState":
        memory = shared_memory.SharedMemory(name=name)
        # Python 3.11 registers attached segments too and would remove them when this process ends.
        resource_tracker.unregister(memory._name, "shared_memory")
        return cls(memory, owner=False)

    def write(self, snapshot: np.ndarray, now: float) -> None:
        """Publish ``snapshot`` (n,) float64 taken at monotonic time ``now``."""
        sequence, _, stall, numbers = _HEADER.unpack_from(self._memory.buf)
        if len(snapshot) != numbers:
            raise ValueError(f"snapshot of {len(snapshot)} numbers, expected {numbers}")
        _HEADER.pack_into(self._memory.buf, 0, sequence + 1, now, stall, numbers)
        np.frombuffer(self._memory.buf, np.float64, numbers, _HEADER.size)[:] = snapshot
        _HEADER.pack_into(self._memory.buf, 0, sequence + 2, now, stall, numbers)

    def stall_cameras(self, until: float) -> None:
        """No frames before monotonic time ``until``."""
        struct.pack_into("@d", self._memory.buf, 16, until)

    def read(self) -> tuple[np.ndarray | None, float, float]:
        """(snapshot or None before the first, its monotonic time, cameras stalled until)."""
        for _ in range(_READ_ATTEMPTS):
            sequence, now, stall, numbers = _HEADER.unpack_from(self._memory.buf)
            snapshot = np.frombuffer(self._memory.buf, np.float64, numbers, _HEADER.size).copy()
            if sequence % 2 == 0 and _HEADER.unpack_from(self._memory.buf)[0] == sequence:
                return (snapshot if sequence else None), now, stall
            time.sleep(1e-5)
        raise TimeoutError("the physics process stopped in the middle of writing its state")

    def close(self) -> None:
        self._memory.close()
        if self._owner:
            self._memory.unlink()
