"""The cell's state in plain words, and how loudly to say them."""

import dataclasses
import math

from prophrl_cell.console.views import ArmView, RecorderView, StreamView

OK, NOTE, WARN, DANGER = "ok", "note", "warn", "danger"
ARM_SILENCE_S = 1.0  # arm/status comes at 10 Hz
STATUS_SILENCE_S = 4.0
LOW_DISK_BYTES = 5 << 30
LONG_GAP_PERIODS = 6.0
STEADY_HZ = 20.0  # slower streams come when something happens: a gap says nothing
LARGE_SKEW_S = 0.1

# mode -> (how loud, headline, what to do when the arm gives no reason)
ARM_MODES = {
    "disconnected": (DANGER, "Not connected", "the controller does not answer; is it on and in remote control?"),
    "starting": (NOTE, "Connecting", "waiting for the controller"),
    "hold": (WARN, "Holding", "press Resume when the arm may move again"),
    "ready": (OK, "Ready", "the arm follows commands as they come"),
    "moving": (NOTE, "Moving home", "keep clear"),
    "executing": (NOTE, "Moving", "the arm follows commands"),
    "protective_stop": (DANGER, "Protective stop", "clear the cause, then Unlock and Resume"),
    "emergency_stop": (DANGER, "Emergency stop", "release the button, then Unlock and Resume"),
    "fault": (DANGER, "Fault", "see the arm's log"),
    "freedrive": (WARN, "Moved by hand", "the arm gives way; hold the deadman to keep it so"),
}
CONTROLS = {"none": "nobody", "policy": "the policy", "teleop": "an operator", "replay": "a replay"}


@dataclasses.dataclass(frozen=True)
class Headline:
    """What the safety bar says."""

    level: str
    headline: str
    line: str


def safety(arm: ArmView | None, now_s: float) -> Headline:
    """The arm's state in words; a silent arm node is a danger, whatever it said last."""
    if arm is None:
        return Headline(WARN, "No arm yet", "nothing heard on arm/status; is the cell up?")
    silent_s = now_s - arm.heard_s
    if silent_s > ARM_SILENCE_S:
        return Headline(DANGER, "Arm silent", f"no arm/status for {silent_s:.0f} s; the arm's state is not known")
    level, headline, usual = ARM_MODES.get(arm.mode, (DANGER, arm.mode, "this console does not know the mode"))
    return Headline(level, headline, arm.reason or usual)


def stream_problems(stream: StreamView) -> dict[str, str]:
    """Column -> what is wrong there; empty when all is well."""
    problems = {}
    if stream.lost:
        problems["lost"] = f"{stream.lost} messages were not written"
    if stream.rate >= STEADY_HZ and stream.max_gap > max(0.25, LONG_GAP_PERIODS / stream.rate):
        problems["gap"] = f"{stream.max_gap:.2f} s without a message"
    if math.isfinite(stream.skew) and abs(stream.skew) > LARGE_SKEW_S:
        problems["skew"] = "stamps and receive times differ: check the clocks"
    return problems


def recorder_level(recorder: RecorderView | None, now_s: float) -> tuple[str, str]:
    """(level, words) for the recorder."""
    if recorder is None:
        return WARN, "no recorder heard"
    if now_s - recorder.heard_s > STATUS_SILENCE_S:
        return DANGER, "recorder silent"
    if recorder.state == "fault":
        return DANGER, recorder.reason or "recorder fault"
    if recorder.reason:
        return WARN, recorder.reason
    if recorder.state == "recording":
        return OK, f"recording, {size(recorder.bytes_written)}"
    return OK, "idle"


def disk_level(free: int) -> str:
    """How loudly the free space has to be said."""
    return WARN if free < LOW_DISK_BYTES else OK


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
