"""The request to end that a process gets from Ctrl-C, from its supervisor or from ros2 launch."""

import signal


class StopSignal:
    """False until SIGINT or SIGTERM comes, then True. Made in the main thread.

    A Ctrl-C reaches a process twice, from the terminal and from ros2 launch; the second SIGINT is ignored, for
    otherwise it would kill the interpreter while it shuts down. A SIGTERM stays deadly there.
    """

    def __init__(self):
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number, frame) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __bool__(self) -> bool:
        return self._asked
