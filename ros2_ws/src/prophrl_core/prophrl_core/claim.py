"""A name that one process on this machine holds at a time; it is free again when the process ends, however it ends."""

import socket


def claim(name: str) -> socket.socket | None:
    """The name as a socket, until that is closed; None when another holds it."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0prophrl-{name}")
    except OSError:
        held.close()
        return None
    return held
