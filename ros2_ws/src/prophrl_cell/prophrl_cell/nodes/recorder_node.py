"""Records every episode of the graph: one bag per trial, from STARTED to shortly after STOPPED.

``ros2 run prophrl_cell recorder_node --ros-args -p cell_file:=sim -p episodes_dir:=runs/episodes``

Parameter ``operator`` is who counts as the operator where episode events name nobody.
"""

import contextlib
import dataclasses
import importlib
import math
import os
import pathlib
import shutil
import sys
import time

from prophrl_core.cell import load_cell
from prophrl_core.episode import PARTIAL_SUFFIX, EpisodeMeta, StreamSummary
from prophrl_core.nodes.lifecycle_process import ProcessNode, run
from prophrl_core.nodes.qos import LATEST
from prophrl_core.stamps import is_history, seconds_of
from prophrl_core.task import load_task
from prophrl_interfaces.msg import EpisodeEvent, RecorderStatus, StreamHealth
from rclpy.serialization import deserialize_message

from prophrl_cell.nodes.polled_group import Polled, subscribe_polled
from prophrl_cell.nodes.recorded_qos import profile_of
from prophrl_cell.recorder.calibration import calibration_of
from prophrl_cell.recorder.episode_recorder import EpisodeRecorder
from prophrl_cell.recorder.topics import RecordedTopic, topics_for

TAIL_S = 0.3  # the last executed actions arrive after STOPPED
POLL_PERIOD_S = 0.02
NICE = -5  # where permitted: what is not recorded in time is lost for good
EVENT_TOPIC = "episode/event"


class RecorderNode(ProcessNode):
    """Raw subscriptions straight into the writer's queue; only EpisodeEvent is ever decoded here.

    The subscriptions are polled: waking the executor for each of some 300 messages a second costs four times as much
    as taking them all every 20 ms. Their receive times come from DDS, so polling does not blur them.
    """

    def __init__(self):
        super().__init__("recorder_node")
        self.declare_parameter("episodes_dir", "")
        self.declare_parameter("task_file", "")
        self.declare_parameter("operator", "")
        self._recorder: EpisodeRecorder | None = None
        self._subscriptions_made: list = []
        self._pending_end: tuple | None = None
        self._timers_made: list = []

    def setup(self) -> None:
        self._cell = load_cell(self.text_parameter("cell_file"))
        task_file = self.get_parameter("task_file").value
        self._spec_id = load_task(task_file).action.id if task_file else ""
        self._root = pathlib.Path(self.text_parameter("episodes_dir")).expanduser()
        self._topics = topics_for(self._cell)
        self._calibration = calibration_of(self._cell)
        self._recorder = EpisodeRecorder(self._root, self._absolute(self._topics), self._cell.recorder)
        self._status = self.create_publisher(RecorderStatus, "recorder/status", LATEST)
        self._last_state = None
        unfinished = sorted(path.name for path in self._root.glob("*" + PARTIAL_SUFFIX))
        if unfinished:
            self.get_logger().warning(
                f"recorder: {len(unfinished)} unfinished episodes in {self._root} (first: {unfinished[0]});"
                " recover them with: prophrl data repair"
            )

    def begin(self) -> None:
        self._begun = time.monotonic()
        polled = Polled()
        # The event topic first, so that an episode is open before the messages of the same poll are put.
        for topic in sorted(self._topics, key=lambda t: t.topic != EVENT_TOPIC):
            subscription = subscribe_polled(
                self, _message_class(topic.type_name), topic.topic, profile_of(topic), polled, raw=True
            )
            self._subscriptions_made.append((self.resolve_topic_name(topic.topic), subscription))
        self._event_topic = self.resolve_topic_name(EVENT_TOPIC)
        self._timers_made = [self.create_timer(POLL_PERIOD_S, self._poll), self.create_timer(0.5, self._report)]

    def end(self) -> None:
        if self._subscriptions_made:
            self._poll()
        for _, subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self._subscriptions_made, self._timers_made = [], []

    def teardown(self) -> None:
        if self._recorder is not None:
            if self._pending_end is not None:
                self._finish_pending()
            unwritten = self._recorder.close()
            if unwritten:
                self.get_logger().error(
                    f"recorder: stopped while {unwritten} messages waited for the disk; recover the rest of the"
                    f" episode with: prophrl data repair {self._root}"
                )
            self._recorder = None
            self.destroy_publisher(self._status)

    def _absolute(self, topics: tuple[RecordedTopic, ...]) -> tuple[RecordedTopic, ...]:
        return tuple(dataclasses.replace(t, topic=self.resolve_topic_name(t.topic)) for t in topics)

    def _poll(self) -> None:
        """Take everything that has come since the last poll."""
        for topic, subscription in self._subscriptions_made:
            take = subscription.handle.take_message
            while (taken := take(subscription.msg_type, True)) is not None:
                message, info = taken
                received_ns = info["received_timestamp"] or time.time_ns()  # not every middleware stamps
                if topic == self._event_topic:
                    self._event_received(message, received_ns)
                else:
                    self._recorder.put(topic, received_ns, message)
        if self._pending_end is not None and time.monotonic() >= self._pending_end[0]:
            self._finish_pending()

    def _event_received(self, message: bytes, received_ns: int) -> None:
        event = deserialize_message(message, EpisodeEvent)
        if is_history(seconds_of(event.header.stamp), received_ns * 1e-9, time.monotonic() - self._begun):
            return  # history of a session that began before this recorder
        if event.event == EpisodeEvent.STARTED:
            if self._pending_end is not None:
                self._finish_pending()
            self._recorder.begin(self._meta(event))
        self._recorder.put(self._event_topic, received_ns, message)
        if event.event == EpisodeEvent.STOPPED:
            ended = seconds_of(event.header.stamp)
            self._pending_end = (time.monotonic() + TAIL_S, (ended, event.outcome, event.reason, event.operator_name))

    def _meta(self, event: EpisodeEvent) -> EpisodeMeta:
        return EpisodeMeta(
            episode_id=event.episode_id, task=event.task, instruction=event.instruction, cell=self._cell.name,
            robot=self._cell.robot.model, policy_version=event.policy_version, seed=event.seed, trial=event.trial,
            started=seconds_of(event.header.stamp), spec_id=self._spec_id,
            operator=event.operator_name or self.get_parameter("operator").value, calibration=self._calibration,
        )

    def _finish_pending(self) -> None:
        (_, ending), self._pending_end = self._pending_end, None
        self._recorder.end(*ending)

    def _report(self) -> None:
        state = self._recorder.state
        if state.fault and (self._last_state is None or state.fault != self._last_state.fault):
            self.get_logger().error(f"recorder: {state.fault}")
        if state.complaint and not (self._last_state and self._last_state.complaint):
            self.get_logger().warning(f"recorder: {state.complaint}")
        self._last_state = state
        kind = RecorderStatus.STATE_RECORDING if state.episode_id else RecorderStatus.STATE_IDLE
        status = RecorderStatus(
            state=RecorderStatus.STATE_FAULT if state.fault else kind, reason=state.fault or state.complaint,
            episode_id=state.episode_id, path=state.folder, bytes_written=state.bytes_written,
            disk_free=shutil.disk_usage(self._root).free,
            streams=[_health(stream) for stream in state.streams],
        )
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)


def _health(stream: StreamSummary) -> StreamHealth:
    return StreamHealth(
        topic=stream.topic, messages=stream.messages, lost=stream.lost, rate=stream.rate, max_gap=stream.max_gap,
        clock_skew=math.nan if stream.clock_skew is None else stream.clock_skew, bytes=stream.bytes,
    )


def _message_class(type_name: str):
    package, kind, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), name)


def main() -> None:
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)  # threads started from here on inherit it
    sys.exit(run(RecorderNode))


if __name__ == "__main__":
    main()
