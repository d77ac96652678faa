"""What the console knows of the cell: one frozen view per node, replaced as a whole when the node is heard.

The ROS thread writes, the page reads; replacing an attribute is atomic, so nothing is locked. ``heard_s`` is
monotonic. Lengths m, times s, rates Hz unless a name says otherwise.
"""

import collections
import dataclasses

ENVELOPE_EVENTS_KEPT = 6


@dataclasses.dataclass(frozen=True)
class ArmView:
    """From arm/status; ``mode`` as in ``wording.ARM_MODES``, ``control`` as in ``wording.CONTROLS``."""

    heard_s: float
    mode: str
    reason: str
    control: str
    speed_scaling: float
    period_p50_ms: float
    period_p99_ms: float
    missed_cycles: int
    envelope_events: int
    restarts: int
    realtime: bool


@dataclasses.dataclass(frozen=True)
class EnvelopeView:
    """One clamp, refusal or stop. ``at_s`` is wall-clock time."""

    at_s: float
    action: str  # clamped, refused, stopped
    limit: str
    detail: str
    count: int = 1  # of the same in a row


@dataclasses.dataclass(frozen=True)
class CameraView:
    heard_s: float
    streaming: bool
    reason: str
    rate: float
    dropped: int
    restarts: int
    latency: float


@dataclasses.dataclass(frozen=True)
class GripperView:
    heard_s: float
    usable: bool
    reason: str
    openness: float
    commanded: float
    holds_object: bool


@dataclasses.dataclass(frozen=True)
class PolicyView:
    heard_s: float
    state: str  # unloaded, idle, running, fault
    reason: str
    version: str
    backend: str
    latency_p50_ms: float
    inference_p50_ms: float


@dataclasses.dataclass(frozen=True)
class StreamView:
    """One recorded stream; ``skew`` is NaN where a message has no stamp."""

    topic: str
    messages: int
    lost: int
    rate: float
    max_gap: float
    skew: float


@dataclasses.dataclass(frozen=True)
class RecorderView:
    heard_s: float
    state: str  # idle, recording, fault
    reason: str
    episode_id: str
    bytes_written: int
    disk_free: int
    streams: tuple[StreamView, ...]


@dataclasses.dataclass(frozen=True)
class TeleopView:
    heard_s: float
    device: str
    deadman: bool
    in_control: bool
    devices: tuple[tuple[str, bool, str], ...]  # name, connected, reason


class CellState:
    """Everything heard so far; None for a node that was never heard."""

    def __init__(self):
        self.arm: ArmView | None = None
        self.gripper: GripperView | None = None
        self.policy: PolicyView | None = None
        self.recorder: RecorderView | None = None
        self.teleop: TeleopView | None = None
        self.cameras: dict[str, CameraView] = {}
        self.envelope: tuple[EnvelopeView, ...] = ()
        self.policy_versions: tuple[str, ...] = ()  # in the order they were in force, newest last
        self._envelope = collections.deque(maxlen=ENVELOPE_EVENTS_KEPT)

    def envelope_event(self, event: EnvelopeView) -> None:
        """Remember an event; the same limit again and again counts as one."""
        last = self._envelope[-1] if self._envelope else None
        if last is not None and (last.action, last.limit) == (event.action, event.limit):
            self._envelope[-1] = dataclasses.replace(event, count=last.count + 1)
        else:
            self._envelope.append(event)
        self.envelope = tuple(self._envelope)

    def policy_heard(self, policy: PolicyView) -> None:
        """Remember a policy's status and the order of versions, for the way back."""
        self.policy = policy
        if policy.version and (not self.policy_versions or self.policy_versions[-1] != policy.version):
            self.policy_versions = (*self.policy_versions[-9:], policy.version)
