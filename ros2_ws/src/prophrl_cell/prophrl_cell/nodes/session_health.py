"""What the session hears of the other nodes: their statuses, judged, and what it takes from them for its events."""

import functools
import time

from prophrl_core.cell import CellSpec
from prophrl_core.nodes.qos import LATEST
from prophrl_interfaces.msg import ArmStatus, CameraStatus, PolicyStatus, RecorderStatus, TeleopStatus
from rclpy.node import Node

from prophrl_cell.graph_health import GraphHealth

# Longest silence of a status before its node counts as gone (s); each publishes at 1 Hz or faster, the policy at 2 Hz: one that
# is started again after its death must not go on with the trial it died in.
SILENCE_S = {"arm": 2.0, "recorder": 3.0, "policy": 2.5, "teleop": 4.0}
CAMERA_SILENCE_S = 4.0
RECORDING_WAIT_S = 5.0  # how long a trial may run before its recorder says it records it; a busy disk takes seconds
MOBILE = (ArmStatus.MODE_READY, ArmStatus.MODE_EXECUTING, ArmStatus.MODE_MOVING, ArmStatus.MODE_FREEDRIVE)
ARM_MODES = {
    getattr(ArmStatus, name): name.removeprefix("MODE_").lower().replace("_", " ")
    for name in dir(type(ArmStatus)) if name.startswith("MODE_")
}  # fmt: skip


class SessionHealth:
    """Subscribes to the statuses of the nodes that a trial needs, ``policy`` and ``teleop`` perhaps among them."""

    def __init__(self, node: Node, cell: CellSpec, policy: bool, teleop: bool):
        wanted = {"arm": True, "recorder": True, "policy": policy, "teleop": teleop}
        silence = {name: limit_s for name, limit_s in SILENCE_S.items() if wanted[name]}
        self._health = GraphHealth(silence | {f"camera {camera.name}": CAMERA_SILENCE_S for camera in cell.cameras})
        self._arm_mode = ArmStatus.MODE_DISCONNECTED
        self.policy_version = ""
        self._trial, self._recorded = ("", 0.0), ""
        subscribe = functools.partial(node.create_subscription, qos_profile=LATEST)
        self.subscriptions = [
            subscribe(ArmStatus, "arm/status", self._arm_heard),
            subscribe(PolicyStatus, "policy/status", self._policy_heard),
            subscribe(RecorderStatus, "recorder/status", self._recorder_heard),
            subscribe(TeleopStatus, "teleop/status", self._teleop_heard),
            *(subscribe(CameraStatus, f"camera/{c.name}/status", self._camera_heard) for c in cell.cameras),
        ]

    @property
    def arm_moving(self) -> bool:
        """Whether the arm is under way."""
        return self._arm_mode in (ArmStatus.MODE_MOVING, ArmStatus.MODE_EXECUTING)

    def trouble(self, now_s: float) -> str:
        """The first thing that is wrong, in one line; empty when every node is healthy."""
        return self._health.trouble(now_s)

    def trial_began(self, episode_id: str, now_s: float) -> None:
        """A trial was announced, which the recorder is to record."""
        self._trial = episode_id, now_s

    def unrecorded(self, now_s: float) -> str:
        """Why the trial that began last is not being recorded, in one line; empty when it is, or may still be."""
        episode_id, began_s = self._trial
        if not episode_id or self._recorded == episode_id or now_s - began_s < RECORDING_WAIT_S:
            return ""
        instead = self._recorded or "nothing"
        return f"recorder: expected it to record {episode_id}, it records {instead}; restart the recorder"

    def _arm_heard(self, status: ArmStatus) -> None:
        self._arm_mode = status.mode
        line = f"{ARM_MODES.get(status.mode, status.mode)}: {status.reason or 'no reason given'}"
        self._health.heard("arm", status.mode in MOBILE, line, time.monotonic())

    def _policy_heard(self, status: PolicyStatus) -> None:
        self.policy_version = status.version
        ok = status.state in (PolicyStatus.STATE_IDLE, PolicyStatus.STATE_RUNNING)
        self._health.heard("policy", ok, status.reason or "no bundle is loaded", time.monotonic())

    def _recorder_heard(self, status: RecorderStatus) -> None:
        self._recorded = status.episode_id
        self._health.heard("recorder", status.state != RecorderStatus.STATE_FAULT, status.reason, time.monotonic())

    def _teleop_heard(self, status: TeleopStatus) -> None:
        self._health.heard("teleop", True, "", time.monotonic())

    def _camera_heard(self, status: CameraStatus) -> None:
        self._health.heard(f"camera {status.name}", status.streaming, status.reason, time.monotonic())
