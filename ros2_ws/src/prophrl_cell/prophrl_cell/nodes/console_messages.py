"""ROS messages to what the console shows."""

import time

from prophrl_core.stamps import seconds_of
from prophrl_interfaces.msg import (
    ArmStatus,
    CameraStatus,
    EnvelopeEvent,
    EpisodeEvent,
    GripperState,
    PolicyStatus,
    RecorderStatus,
    TeleopStatus,
)

from prophrl_cell.console import views
from prophrl_cell.console.session_view import Event


def _names(message_class, prefix: str) -> dict[int, str]:
    """Value -> lower-case name of a message's constants."""
    constants = [name for name in dir(type(message_class)) if name.startswith(prefix)]
    return {getattr(message_class, name): name.removeprefix(prefix).lower() for name in constants}


_MODES, _CONTROLS = _names(ArmStatus, "MODE_"), _names(ArmStatus, "CONTROL_")
_ACTIONS = _names(EnvelopeEvent, "ACTION_")
_POLICY_STATES, _RECORDER_STATES = _names(PolicyStatus, "STATE_"), _names(RecorderStatus, "STATE_")
_EVENTS = {getattr(EpisodeEvent, name): name.lower()
           for name in ("RESET_REQUESTED", "STARTED", "LABEL_REQUESTED", "STOPPED", "SESSION_ENDED")}  # fmt: skip


def arm(message: ArmStatus) -> views.ArmView:
    return views.ArmView(
        heard_s=time.monotonic(), mode=_MODES.get(message.mode, str(message.mode)), reason=message.reason,
        control=_CONTROLS.get(message.control, str(message.control)), speed_scaling=message.speed_scaling,
        period_p50_ms=message.period_p50, period_p99_ms=message.period_p99, missed_cycles=message.missed_cycles,
        envelope_events=message.envelope_events, restarts=message.process_restarts, realtime=message.realtime,
    )  # fmt: skip


def envelope(message: EnvelopeEvent) -> views.EnvelopeView:
    return views.EnvelopeView(
        seconds_of(message.header.stamp), _ACTIONS.get(message.action, str(message.action)), message.limit,
        message.detail,
    )  # fmt: skip


def camera(message: CameraStatus) -> views.CameraView:
    return views.CameraView(
        heard_s=time.monotonic(), streaming=message.streaming, reason=message.reason, rate=message.rate,
        dropped=message.dropped, restarts=message.restarts, latency=message.latency,
    )  # fmt: skip


def gripper(message: GripperState) -> views.GripperView:
    return views.GripperView(
        heard_s=time.monotonic(), usable=message.connected and message.activated and not message.fault,
        reason=message.reason, openness=message.openness, commanded=message.commanded,
        holds_object=message.object_detected,
    )  # fmt: skip


def policy(message: PolicyStatus) -> views.PolicyView:
    return views.PolicyView(
        heard_s=time.monotonic(), state=_POLICY_STATES.get(message.state, str(message.state)), reason=message.reason,
        version=message.version, backend=message.backend, latency_p50_ms=message.latency_p50,
        inference_p50_ms=message.inference_p50,
    )  # fmt: skip


def recorder(message: RecorderStatus) -> views.RecorderView:
    streams = tuple(
        views.StreamView(s.topic, s.messages, s.lost, s.rate, s.max_gap, s.clock_skew) for s in message.streams
    )
    return views.RecorderView(
        heard_s=time.monotonic(), state=_RECORDER_STATES.get(message.state, str(message.state)), reason=message.reason,
        episode_id=message.episode_id, bytes_written=message.bytes_written, disk_free=message.disk_free,
        streams=streams,
    )  # fmt: skip


def teleop(message: TeleopStatus) -> views.TeleopView:
    devices = tuple(zip(message.devices, message.connected, message.reasons, strict=False))
    return views.TeleopView(time.monotonic(), message.device, message.deadman, message.in_control, devices)


def episode(message: EpisodeEvent) -> Event:
    return Event(
        kind=_EVENTS.get(message.event, ""), trial=message.trial, seed=message.seed, episode_id=message.episode_id,
        at_s=seconds_of(message.header.stamp), outcome=message.outcome, reason=message.reason,
        instruction=message.instruction,
    )  # fmt: skip
