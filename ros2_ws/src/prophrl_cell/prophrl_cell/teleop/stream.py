"""A stream of twists and the deadman that belongs to it, joined into readings."""

from collections.abc import Sequence

from prophrl_cell.teleop.device_config import BASE, COMPONENTS, SPEED, TOOL, DeviceConfig
from prophrl_cell.teleop.handover import LOST_S
from prophrl_cell.teleop.reading import Latest, Reading

FRAME_IDS = {"": "", "base": BASE, "base_link": BASE, "tool": TOOL, "tool0": TOOL, "tcp": TOOL}
DEADMAN = "deadman"


def deflections(config: DeviceConfig, twist: Sequence[float]) -> dict[str, float]:
    """The six components of a twist in the stream's units as deflections: 1 is the device's full speed."""
    full = (config.linear_speed,) * 3 + (config.angular_speed,) * 3 if config.stream.units == SPEED else (1.0,) * 6
    return {name: value / scale for name, value, scale in zip(COMPONENTS, twist, full, strict=True)}


class TwistStream:
    """The arm is asked to move only while both the twists and the deadman keep coming."""

    def __init__(self, config: DeviceConfig, latest: Latest):
        self._config, self._latest = config, latest
        self._axes: dict[str, float] = {}
        self._frame = ""
        self._held: frozenset[str] = frozenset()
        self._twist_s = self._held_s = -LOST_S  # when what was heard last was so
        self._twist_heard_s = self._held_heard_s = -LOST_S
        self._refusal = ""
        self.check(0.0)

    def twist(self, twist: Sequence[float], frame_id: str, now_s: float, age_s: float = 0.0) -> None:
        """A twist came that was asked for ``age_s`` ago."""
        frame = FRAME_IDS.get(frame_id)
        self._refusal = "" if frame is not None else (
            f"{self._config.stream.topic}: expected frame_id base or tool0, got {frame_id!r}; set it in the publisher"
        )
        self._axes, self._frame = deflections(self._config, twist), frame or ""
        self._twist_s, self._twist_heard_s = now_s - age_s, now_s
        self._join(now_s)

    def held(self, buttons: frozenset[str], now_s: float, age_s: float = 0.0) -> None:
        """The deadman's message came: the names of the buttons that were down ``age_s`` ago."""
        self._held, self._held_s, self._held_heard_s = buttons, now_s - age_s, now_s
        self._join(now_s)

    def check(self, now_s: float) -> None:
        """Notice a stream that ended."""
        if self._silent(now_s):
            self._latest.lose(self._refusal or self._silent(now_s))

    def _silent(self, now_s: float) -> str:
        stream = self._config.stream
        deadman = stream.deadman_topic or stream.joy_topic
        streams = ((stream.topic, self._twist_s, self._twist_heard_s), (deadman, self._held_s, self._held_heard_s))
        for topic, then_s, heard_s in streams:
            if now_s - heard_s <= LOST_S < now_s - then_s:
                return (
                    f"{topic}: its messages come {heard_s - then_s:.2f} s later than they did; the network holds them "
                    "back, or the publisher's clock was set back: then start teleop_node again"
                )
        if now_s - self._twist_s > LOST_S:
            return f"nothing heard on {stream.topic}; publish geometry_msgs/TwistStamped there at 50 Hz or faster"
        if now_s - self._held_s > LOST_S:
            kind = "std_msgs/Bool" if stream.deadman_topic else "sensor_msgs/Joy"
            return f"nothing heard on {deadman}; publish {kind} there at 50 Hz or faster"
        return ""

    def _join(self, now_s: float) -> None:
        if self._refusal or self._silent(now_s):
            self._latest.lose(self._refusal or self._silent(now_s))
            return
        self._latest.put(Reading(min(self._twist_s, self._held_s), self._axes, self._held, self._frame))
