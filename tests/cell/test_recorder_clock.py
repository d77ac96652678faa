"""A wall clock that is set back or forth while the recorder runs: nothing piles up, no trial goes unrecorded."""

import time
from types import SimpleNamespace

import pytest
from episode_maker import joint_state, meta, recorder_for
from prophrl_cell.nodes.recorder_node import RecorderNode
from prophrl_cell.nodes.session_health import RECORDING_WAIT_S, SessionHealth
from prophrl_cell.recorder.recent_messages import RecentMessages
from prophrl_core.cell import RecorderSpec, load_cell
from prophrl_core.episode_reader import read_episode
from prophrl_interfaces.msg import EpisodeEvent, RecorderStatus
from rclpy.serialization import serialize_message

HOUR_NS = 3600 * 10**9


class Heard:
    """A recorder node without ROS: the episodes that its events begin, by a wall clock that the test sets."""

    def __init__(self):
        self.begun, self._step_s = [], 0.0
        recorder = SimpleNamespace(begin=self.begun.append, put=lambda *_: None)
        self.node = SimpleNamespace(
            _recorder=recorder, _pending_end=None, _topics=(), _subscriptions_made=[], _poll=None, _report=None,
            _meta=lambda event: event.episode_id, resolve_topic_name="/{}".format, create_timer=lambda *_: None,
        )  # fmt: skip
        RecorderNode.begin(self.node)

    def set_clock(self, step_s):
        self._step_s += step_s

    def started(self, episode_id, stamped_ago_s=0.0):
        received = time.time() + self._step_s
        event = EpisodeEvent(event=EpisodeEvent.STARTED, episode_id=episode_id)
        seconds, nanoseconds = divmod(int((received - stamped_ago_s) * 1e9), 10**9)
        event.header.stamp.sec, event.header.stamp.nanosec = seconds, nanoseconds
        RecorderNode._event_received(self.node, serialize_message(event), int(received * 1e9))


@pytest.mark.parametrize("step_s", [-7200.0, -5.0, 5.0, 7200.0])
def test_trials_are_recorded_after_the_clock_was_set(step_s):
    heard = Heard()
    heard.started("from before", stamped_ago_s=60.0)
    heard.started("first")
    heard.set_clock(step_s)
    heard.started("second")
    assert heard.begun == ["first", "second"]


def test_what_is_kept_between_trials_is_bounded_whatever_the_clock_does():
    recent = RecentMessages({"/status"}, 10_000)
    for i in range(200):
        recent.put("/status", HOUR_NS + i * 10**7, bytes([i]) * 10)
        recent.put("/joints", HOUR_NS + i * 10**7, bytes(10))
    for i in range(200):
        recent.put("/joints", i * 10**7, bytes(10))
    assert recent.bytes <= 1010, "a second of messages, none from before the step"
    opening = recent.take(10**9)
    assert opening[0] == ("/status", 10**9, bytes([199]) * 10)
    assert [received for _, received, _ in opening[1:]] == [i * 10**7 for i in range(100, 200)]
    for _ in range(100):
        recent.put("/joints", 5, bytes(999))
    assert 9_000 < recent.bytes <= 10_000


def test_an_episode_begins_whole_after_the_clock_was_set_back(tmp_path):
    recorder = recorder_for(tmp_path, RecorderSpec(min_free_bytes=0))
    now_ns = time.time_ns()
    for i in range(50):
        recorder.put("/joint_states", now_ns + HOUR_NS + i * 10**7, joint_state(1, [-1] * 6))
    for i in range(-10, 100):
        if i == 0:
            recorder.begin(meta(started=now_ns * 1e-9))
        recorder.put("/joint_states", now_ns + i * 10**7 + 1000, joint_state(1, [i] * 6))
    recorder.end(now_ns * 1e-9 + 1, "success", "", "")
    recorder.close(30)
    values = read_episode(tmp_path / meta().episode_id).series("joint_states")["position"][:, 0]
    assert values.tolist() == list(range(100))


def test_the_session_says_when_the_recorder_does_not_record_its_trial():
    heard = {}
    node = SimpleNamespace(create_subscription=lambda kind, topic, callback, **_: heard.update({topic: callback}))
    health, late = SessionHealth(node, load_cell("sim"), False, False), 100.0 + RECORDING_WAIT_S
    assert health.unrecorded(late) == "", "no trial has begun"
    health.trial_began("episode-1", 100.0)
    assert health.unrecorded(late - 0.1) == ""
    heard["recorder/status"](RecorderStatus(episode_id="episode-0"))
    assert health.unrecorded(late).startswith("recorder: expected it to record episode-1, it records episode-0;")
    heard["recorder/status"](RecorderStatus(episode_id="episode-1"))
    assert health.unrecorded(late) == ""
