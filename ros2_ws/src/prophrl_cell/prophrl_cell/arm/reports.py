"""What the RTDE process tells the node: its state and a sample each cycle, events and executed steps."""

import numpy as np

from prophrl_cell.arm import shared_state
from prophrl_cell.arm.limiter import Clamp
from prophrl_cell.arm.motion import Motion
from prophrl_cell.arm.robot_link import Reading
from prophrl_cell.arm.shared_state import ArmMemory, Control, EventKind, Mode, Source
from prophrl_cell.arm.step_log import ExecutedStep

_SAME_EXCURSION = 0.25  # s: a limit met again within this time is the same excursion, logged once


class Reports:
    """Writer side of the shared memory; records are allocated once."""

    def __init__(self, memory: ArmMemory, servo_rate: float):
        self._memory = memory
        self._state = np.zeros((), shared_state.STATE)
        self._sample = np.zeros((), shared_state.SAMPLE)
        self._state["servo_rate"] = servo_rate
        self._met: dict[str, float] = {}
        self._policy_version, self._chunk_episode = b"", ""
        self.realtime = False

    def starting(self, reason: str) -> None:
        """Announce work that may block for seconds."""
        self._state["mode"], self._state["reason"] = Mode.STARTING, reason.encode()
        self._memory.state.write(self._state)

    def failed(self, reason: str) -> None:
        """Leave the one-line reason of an exit behind."""
        self._state["mode"], self._state["reason"] = Mode.FAULT, reason.encode()
        self._memory.state.write(self._state)

    def chunk_of(self, policy_version: bytes, episode_id: str) -> None:
        """The chunks from now on are of this policy and episode."""
        self._policy_version, self._chunk_episode = policy_version, episode_id

    def cycle(
        self, stamp: float, reading: Reading, motion: Motion, mode: Mode, control: Control, reason: str,
        episode_id: str, missed: int,
    ) -> None:  # fmt: skip
        """Publish one servo cycle whose command went out at ``stamp``."""
        sample, state = self._sample, self._state
        sample["stamp"] = sample["command_stamp"] = stamp
        sample["controller_time"] = reading.controller_time
        sample["q"], sample["qd"] = reading.q, reading.qd
        sample["tcp_pose"], sample["wrench"] = reading.tcp_pose, reading.wrench
        sample["q_command"], sample["T_command"], sample["openness"] = motion.q, motion.T, motion.openness
        self._memory.samples.publish(sample)
        state["heartbeat"], state["cycle"] = stamp, state["cycle"] + 1
        state["mode"], state["reason"], state["episode_id"] = mode, reason.encode(), episode_id.encode()
        state["robot_mode"], state["safety_mode"] = reading.robot_mode, reading.safety_mode
        state["runtime_state"], state["speed_scaling"] = reading.runtime_state, reading.speed_scaling
        state["control"] = control
        state["missed_cycles"], state["realtime"], state["openness"] = missed, self.realtime, motion.openness
        self._memory.state.write(state)
        for step in motion.steps.executed:
            self._executed(step, episode_id)
        motion.steps.executed.clear()

    def envelope_event(
        self, kind: EventKind, clamp: Clamp, episode_id: str, now: float, streaming: bool = False
    ) -> None:
        """Log a limit that was met; a clamp that lasts is one event, and so is what a ``streaming`` sender repeats."""
        last = self._met.get(clamp.limit)
        self._met[clamp.limit] = now
        if (kind is EventKind.CLAMPED or streaming) and last is not None and now - last < _SAME_EXCURSION:
            return
        self._state["envelope_events"] += 1
        self._event(kind, now, clamp.detail, clamp.limit, clamp.value, clamp.bound, clamp.unit, episode_id)

    def log(self, text: str, now: float) -> None:
        """A line for the node's log."""
        self._event(EventKind.LOG, now, text)

    def _event(self, kind, now, detail, limit="", value=0.0, bound=0.0, unit="", episode_id="") -> None:
        event = np.zeros((), shared_state.EVENT)
        event["kind"], event["stamp"], event["detail"] = kind, now, detail.encode()
        event["limit"], event["value"], event["bound"] = limit.encode(), value, bound
        event["unit"], event["episode_id"] = unit.encode(), episode_id.encode()
        self._memory.events.publish(event)

    def _executed(self, step: ExecutedStep, episode_id: str) -> None:
        record = np.zeros((), shared_state.EXECUTED)
        if step.source in (Source.TELEOP, Source.FREEDRIVE):
            if not episode_id:
                return  # the operator positions the arm between episodes
        else:
            episode_id, record["policy_version"] = self._chunk_episode, self._policy_version
        record["stamp"], record["episode_id"], record["source"] = step.end, episode_id.encode(), step.source
        record["sequence"], record["step"] = step.sequence, step.step
        record["proposed"], record["executed"] = step.proposed, step.executed
        record["clamped"], record["observation_age"] = step.clamped, step.observation_age
        self._memory.executed.publish(record)
