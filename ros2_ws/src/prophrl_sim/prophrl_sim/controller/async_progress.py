"""The word in which the control script reports asynchronous moves and stops."""

FINISHED, STARTED = -1, 0


class AsyncProgress:
    """Bits 24-30 count operations, 16-22 writes; 15 says running, 0-14 carry the progress value."""

    def __init__(self):
        self._writes = self._operations = 0

    def word(self, value: int) -> int:
        """The register's next content for ``value``: FINISHED, STARTED or a waypoint's number."""
        self._writes = (self._writes + 1) % 128
        if value == STARTED:
            self._operations = (self._operations + 1) % 128
        word = self._writes << 16 | self._operations << 24
        return word if value < 0 else word | 1 << 15 | min(value, 32767)
