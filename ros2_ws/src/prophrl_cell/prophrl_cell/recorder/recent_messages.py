"""What came while no episode was open: an episode's begin may come a little late and must find it."""

import collections

LATE_BEGIN_NS = 1_000_000_000  # how late a begin may come without losing messages


class RecentMessages:
    """The messages of the last second, at most ``limit_bytes`` of them, and the newest older one of latched topics."""

    def __init__(self, latched: set[str], limit_bytes: int):
        self._latched, self._limit_bytes = latched, limit_bytes
        self._last: dict[str, bytes] = {}
        self._recent: collections.deque[tuple[str, int, bytes]] = collections.deque()
        self.bytes = 0

    def put(self, topic: str, received_ns: int, message: bytes) -> None:
        """One message, in order of arrival; the clock may step either way between two of them."""
        self._recent.append((topic, received_ns, message))
        self.bytes += len(message)
        while self.bytes > self._limit_bytes or abs(received_ns - self._recent[0][1]) > LATE_BEGIN_NS:
            self.keep(*self._pop()[::2])
            if not self._recent:
                break

    def keep(self, topic: str, message: bytes) -> None:
        """Remember the newest latched message that is older than any episode still to begin."""
        if topic in self._latched:
            self._last[topic] = message

    def take(self, started_ns: int) -> list[tuple[str, int, bytes]]:
        """What an episode opens with: latched state as of its start, then what came since; forgets the rest."""
        late = []
        while self._recent:
            topic, received_ns, message = self._pop()
            if received_ns >= started_ns:
                late.append((topic, received_ns, message))
            else:
                self.keep(topic, message)
        return [(topic, started_ns, message) for topic, message in self._last.items()] + late

    def _pop(self) -> tuple[str, int, bytes]:
        topic, received_ns, message = self._recent.popleft()
        self.bytes -= len(message)
        return topic, received_ns, message
