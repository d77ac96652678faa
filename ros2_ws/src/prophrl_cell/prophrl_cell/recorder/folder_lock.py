"""Who works on an unfinished episode: its recorder, or a repair. The kernel lets go when the process ends, however."""

import errno
import fcntl
import os
import pathlib

HELD = (errno.EWOULDBLOCK, errno.EACCES)


class FolderLock:
    """An advisory lock on ``folder`` itself; it follows the folder through a change of name.

    BlockingIOError when somebody else has it. A file system without locks gives none, and nobody is kept out.
    """

    def __init__(self, folder: pathlib.Path):
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                self.release()
                raise BlockingIOError(error.errno, "in use", str(folder)) from None

    def release(self) -> None:
        """Let go; safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_) -> None:
        self.release()
