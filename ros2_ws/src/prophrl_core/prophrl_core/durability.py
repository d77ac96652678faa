"""What must outlive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's content, or the names made and changed in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
