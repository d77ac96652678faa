"""What the session knows of the other nodes, and why a trial cannot start or must end. No ROS."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Report:
    """The last status of one node. ``ok`` lets a trial run, ``line`` says what is wrong otherwise."""

    ok: bool
    line: str
    received_s: float


class GraphHealth:
    """Last reports by node; a node that was never heard, or not lately, is not healthy."""

    def __init__(self, silence_s: dict[str, float]):
        self._silence_s = silence_s
        self._reports: dict[str, Report] = {}

    def heard(self, node: str, ok: bool, line: str, now_s: float) -> None:
        """A status arrived."""
        self._reports[node] = Report(ok, line, now_s)

    def trouble(self, now_s: float) -> str:
        """The first thing that is wrong, in one line; empty when every node is healthy."""
        for node, limit_s in self._silence_s.items():
            report = self._reports.get(node)
            if report is None:
                return f"{node}: nothing heard yet; is its node running?"
            if not report.ok:
                return f"{node}: {report.line}"
            if now_s - report.received_s > limit_s:
                return f"{node}: silent for more than {limit_s:g} s; is its node running?"
        return ""
