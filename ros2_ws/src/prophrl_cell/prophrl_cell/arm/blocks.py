"""Blocks of shared memory with one writer each: the newest record, or a ring of records.

Records are fixed-size numpy dtypes: nothing is pickled. The newest record is a seqlock; a ring publishes a record by
advancing a counter after its bytes are written (both rely on the store order of x86-64, and on Python not reordering
statements elsewhere).
"""

import numpy as np


class Seqlock:
    """One record, one writer, any number of readers; a reader never sees half a record."""

    def __init__(self, buffer: memoryview, dtype: np.dtype):
        self._seq = np.frombuffer(buffer, "u8", 1)
        self._slot = np.frombuffer(buffer, dtype, 1, offset=64)

    @staticmethod
    def size(dtype: np.dtype) -> int:
        """Bytes of shared memory it needs."""
        return 64 + aligned(dtype.itemsize)

    def write(self, record: np.ndarray) -> None:
        """Publish a record of shape ()."""
        seq = int(self._seq[0])
        self._seq[0] = seq + 1
        self._slot[0] = record
        self._seq[0] = seq + 2

    def read(self) -> np.ndarray | None:
        """A consistent copy, or None before the first write or when the writer died in the middle of one."""
        for _ in range(1000):
            before = int(self._seq[0])
            if before == 0:
                return None
            if before % 2 == 0:
                record = self._slot[0].copy()
                if int(self._seq[0]) == before:
                    return record
        return None


class Ring:
    """Fixed records from one writer to one reader.

    ``push`` refuses when full (commands must not be lost); ``publish`` overwrites the oldest record, and the
    reader counts what it lost.
    """

    def __init__(self, buffer: memoryview, dtype: np.dtype, capacity: int):
        self._counters = np.frombuffer(buffer, "u8", 2)  # written, read
        self._slots = np.frombuffer(buffer, dtype, capacity, offset=64)
        self._capacity = capacity
        self.lost = 0

    @staticmethod
    def size(dtype: np.dtype, capacity: int) -> int:
        """Bytes of shared memory it needs."""
        return 64 + aligned(dtype.itemsize * capacity)

    def push(self, record: np.ndarray) -> bool:
        """Append unless the reader is a whole ring behind; False then."""
        if int(self._counters[0]) - int(self._counters[1]) >= self._capacity - 1:
            return False
        self.publish(record)
        return True

    def publish(self, record: np.ndarray) -> None:
        """Append, overwriting the oldest record of a slow reader."""
        written = int(self._counters[0])
        self._slots[written % self._capacity] = record
        self._counters[0] = written + 1

    def pop_all(self) -> list[np.ndarray]:
        """Copies of the records since the last call, oldest first; what was overwritten adds to ``lost``."""
        read, written = int(self._counters[1]), int(self._counters[0])
        out = []
        for index in range(max(read, written - self._capacity + 1), written):
            record = self._slots[index % self._capacity].copy()
            if int(self._counters[0]) - index < self._capacity:
                out.append(record)
        self.lost += written - read - len(out)
        self._counters[1] = written
        return out


def aligned(size: int) -> int:
    """``size`` rounded up to whole cache lines, bytes."""
    return (size + 63) // 64 * 64
