"""Who was in control: counted from executed actions as they come."""

from prophrl_core.episode import ControlSummary

from prophrl_cell.recorder.wire_reader import WireReader

SOURCES = ("policy", "teleop", "replay", "freedrive")  # by ActionChunk.SOURCE_*
PERSON = ("teleop", "freedrive")


class ControlCounter:
    """Counts serialized ExecutedAction messages."""

    def __init__(self):
        self._counts = dict.fromkeys((*SOURCES, "other", "clamped", "interventions"), 0)
        self._last = ""

    def add(self, message: bytes) -> None:
        """One message in order of receipt; ValueError when it is not a whole ExecutedAction."""
        reader = WireReader(message)
        reader.header()
        reader.text(), reader.text()  # episode_id, policy_version
        (number,) = reader.numbers("B")
        reader.numbers("I", 2), reader.numbers("f", 14)  # sequence, step; proposed, executed
        (clamped,) = reader.numbers("B")
        source = SOURCES[number] if number < len(SOURCES) else "other"
        self._counts[source] += 1
        self._counts["clamped"] += bool(clamped)
        self._counts["interventions"] += source in PERSON and self._last == "policy"
        self._last = source

    def summary(self) -> ControlSummary:
        return ControlSummary(**self._counts)
