"""What the page may ask of the cell. ``nodes/console_node.py`` answers it over ROS."""

import dataclasses
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from prophrl_cell.console.session_view import SessionView
from prophrl_cell.console.views import CellState


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the cell said to a request, in one line."""

    ok: bool
    line: str


class CellLink(Protocol):
    """Requests return at once; the future holds an Answer, also when nobody serves the request."""

    state: CellState
    session: SessionView

    def trigger(self, service: str) -> "Future[Answer]":
        """Call a std_srvs/Trigger service such as arm/hold."""

    def start_session(self, trials: int, seed: int) -> "Future[Answer]":
        """Ask the session for trials; trial i is laid out with seed + i."""

    def cancel_session(self) -> "Future[Answer]":
        """End the running session, whoever started it."""

    def stop_trial(self, operator: str) -> "Future[Answer]":
        """End the trial; a label is asked for."""

    def label(self, outcome: str, reason: str, operator: str) -> "Future[Answer]":
        """End the trial with an outcome."""

    def load_policy(self, bundle: Path) -> "Future[Answer]":
        """Verify a bundle and swap it in."""

    def take_picture(self, camera: str) -> bytes | None:
        """The newest sensor_msgs/Image (CDR) since the last call."""

    def tcp_position(self) -> tuple[float, float, float] | None:
        """Newest measured TCP position in base, m."""
