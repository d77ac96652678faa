"""Forces a growing file to the disk in a thread of its own: a busy disk takes seconds for it, and the writer must not
wait meanwhile, because what it has not handed to the kernel a kill can take."""

import os
import threading

from prophrl_cell.recorder.disk_times import DiskTimes


class DiskSync:
    """Syncs the file behind ``descriptor`` every ``period_s`` until ``stop``."""

    def __init__(self, descriptor: int, period_s: float, times: DiskTimes):
        self._descriptor = os.dup(descriptor)
        self._period_s, self._times = period_s, times
        self._error: OSError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-sync", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the OSError that a sync met, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def stop(self) -> None:
        """Wait for a sync under way and end the thread; safe to call again."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._period_s):
                with self._times.measure(self._times.sync):
                    os.fdatasync(self._descriptor)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._descriptor)
