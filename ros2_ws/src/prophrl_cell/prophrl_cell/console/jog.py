"""Who has the jog, what is asked of the arm now, and when that runs out. Pure: the caller brings the time.

A page sends its held state at 50 Hz while the deadman is held. What it sent moves the arm for ``EXPIRY_S``,
counted from when the browser sent it: the age of a heartbeat is its arrival minus the browser's stamp, less the
smallest such difference seen on that connection. So a burst of old heartbeats behind a stalled server or network
moves nothing. After a silence longer than ``REARM_S`` the deadman must be let go once before it counts again.

A release is what a page says, never what it stopped saying: while a holder is silent or gone there is no command at
all, and whoever listens notices the silence.
"""

import dataclasses
import math
import threading

from prophrl_cell.teleop.delay import Delay

EXPIRY_S = 0.06
REARM_S = 0.5
KEEP_S = 1.5  # the jog stays with an operator this long after the deadman
AXES = ("x", "y", "z", "rx", "ry", "rz")


@dataclasses.dataclass(frozen=True)
class JogLimits:
    """Speeds at full slider."""

    linear: float = 0.15  # m/s
    angular: float = 0.6  # rad/s


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """What a browser holds. ``axes`` (6,) -1..1 as ``AXES``; ``toggles`` counts the page's gripper toggles."""

    stamp_s: float  # the browser's monotonic clock
    deadman: bool
    axes: tuple[float, ...]
    speed: float  # 0..1 of the limits
    tool_frame: bool
    toggles: int

    @staticmethod
    def parse(message: object) -> "Heartbeat":
        """From a page's JSON; ValueError for anything that is not one."""
        if not isinstance(message, dict):
            raise ValueError("expected an object")
        axes = message.get("axes")
        if not isinstance(axes, list) or len(axes) != len(AXES):
            raise ValueError(f"axes: expected {len(AXES)} numbers")
        numbers = [message.get("t"), message.get("speed"), message.get("toggles"), *axes]
        if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            raise ValueError("expected finite numbers")
        return Heartbeat(
            stamp_s=message["t"] / 1000.0, deadman=message.get("deadman") is True,
            axes=tuple(min(1.0, max(-1.0, float(a))) for a in axes), speed=min(1.0, max(0.0, message["speed"])),
            tool_frame=message.get("frame") == "tool", toggles=int(message["toggles"]),
        )


@dataclasses.dataclass(frozen=True)
class JogCommand:
    """What to ask of the arm: twist (6,) m/s and rad/s; ``openness`` NaN leaves the gripper alone."""

    deadman: bool
    tool_frame: bool = False
    twist: tuple[float, ...] = (0.0,) * 6
    openness: float = math.nan
    age_s: float = 0.0  # since the page said so


class _Page:
    """One connected browser page."""

    def __init__(self, name: str):
        self.name = name
        self.delay = Delay()
        self.heard_s = -math.inf
        self.toggles: int | None = None
        self.deadman = False  # as it said last
        self.must_release = True  # until it was seen released


class Jog:
    """Arbiter of all pages; thread-safe. Times are monotonic seconds."""

    def __init__(self, limits: JogLimits):
        self._limits = limits
        self._lock = threading.Lock()
        self._active = threading.Event()
        self._pages: dict[str, _Page] = {}
        self._holder: str | None = None
        self._held: Heartbeat | None = None
        self._lost = False  # what was held ended without a release
        self._expires_s = self._used_s = -math.inf
        self._openness = math.nan

    def connect(self, page: str) -> None:
        """A page is there."""
        with self._lock:
            self._pages[page] = _Page("")

    def name(self, page: str, name: str) -> None:
        """Who sits at a page."""
        with self._lock:
            if page in self._pages:
                self._pages[page].name = name.strip()[:40]

    def disconnect(self, page: str) -> None:
        """A page is gone: what it held ends now, and is not released by that."""
        with self._lock:
            self._pages.pop(page, None)
            if self._holder == page:
                self._end(lost=self._lost or self._held is not None)
                self._holder = None

    def heartbeat(self, page: str, beat: Heartbeat, now_s: float, gripper_open: bool) -> bool:
        """Take a page's held state; whether it moves the arm. ``gripper_open`` decides which way a toggle goes."""
        with self._lock:
            sender = self._pages.get(page)
            if sender is None:
                return False
            silence_s = now_s - sender.heard_s
            age_s = sender.delay.of(beat.stamp_s, now_s)
            toggled = sender.toggles is not None and beat.toggles != sender.toggles
            sender.toggles = beat.toggles
            was_held, sender.deadman, sender.heard_s = sender.deadman, beat.deadman, now_s
            if not beat.deadman:
                sender.must_release = False
                if self._holder == page or now_s - self._used_s > REARM_S:  # another's word ends a loss only when old
                    self._end(lost=False)
                return False
            if was_held and silence_s > REARM_S:
                sender.must_release = True
            if not self._may_have(page, now_s):
                sender.must_release = True  # so that the jog does not jump over while two hold
            if sender.must_release or age_s > EXPIRY_S:
                if sender.must_release and self._holder == page:
                    self._end(lost=self._lost or self._held is not None)
                return False
            self._holder, self._held, self._lost, self._used_s = page, beat, False, now_s
            self._expires_s = now_s + EXPIRY_S - age_s
            if toggled:
                self._openness = 0.0 if (gripper_open if math.isnan(self._openness) else self._openness > 0.5) else 1.0
            self._active.set()
            return True

    def command(self, now_s: float) -> JogCommand | None:
        """What the arm is asked now; None while the page that held the deadman is silent or gone: say nothing."""
        with self._lock:
            held = self._held
            if held is None or now_s >= self._expires_s:
                self._active.clear()
                return None if self._lost or held is not None else JogCommand(deadman=False)
            limits = [self._limits.linear] * 3 + [self._limits.angular] * 3
            twist = tuple(a * held.speed * limit for a, limit in zip(held.axes, limits, strict=True))
            return JogCommand(True, held.tool_frame, twist, self._openness, max(0.0, now_s + EXPIRY_S - self._expires_s))

    def wait_active(self, timeout_s: float) -> bool:
        """Block until a page holds the deadman or the time is over."""
        return self._active.wait(timeout_s)

    @property
    def connected(self) -> bool:
        """Whether any page is there."""
        return bool(self._pages)

    def holder(self, now_s: float) -> tuple[str, str]:
        """(page, name) of who has the jog; empty strings when it is free."""
        with self._lock:
            if self._holder is None or now_s - self._used_s > KEEP_S:
                return "", ""
            return self._holder, self._pages[self._holder].name or "another operator"

    def _may_have(self, page: str, now_s: float) -> bool:
        return self._holder in (None, page) or now_s - self._used_s > KEEP_S

    def _end(self, lost: bool) -> None:
        self._held, self._lost, self._openness = None, lost, math.nan
        self._expires_s = -math.inf
