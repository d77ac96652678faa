"""The planning thread: the right observation, the right episode, faults told, callbacks never blocked."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from prophrl_core.task import PolicyImage
from prophrl_policy.runner import ChunkRunner, Episode, Frame
from prophrl_policy.scheduling import ScheduleConfig

LIMIT_S = 20.0


class FakePolicy:
    """Answers with the proprioception it was given, so that a test sees what the policy saw."""

    noise_shape = (20, 7)
    bundle = SimpleNamespace(manifest=SimpleNamespace(image=PolicyImage(crop=(0, 0, 8, 8), size=8)))

    def __init__(self, answer=None):
        self.answer, self.calls = answer, []

    def infer(self, image, proprio, instruction, noise):
        self.calls.append((image, proprio, instruction, noise))
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.tile(proprio[:7], (20, 1)) if self.answer is None else self.answer


class Bench:
    """A runner with a hand-set clock."""

    def __init__(self, policy, config=ScheduleConfig()):
        self.now, self.sent = 100.0, []
        self.runner = ChunkRunner(policy, config, self.sent.append, clock=lambda: self.now)

    def show(self, stamp, value=7):
        image = np.full((8, 8, 3), value, np.uint8)
        self.runner.see(Frame(stamp, lambda: image, token=f"stamp {stamp}"))

    def target(self, stamp, x):
        T = np.eye(4)
        T[0, 3] = x
        self.runner.commanded(stamp, T, 1.0)

    def begin(self, episode_id="e1", seed=3):
        self.runner.begin(Episode(episode_id, "grasp", seed, started=self.now))

    def wait_for(self, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)

    def settle(self):
        time.sleep(0.2)


@pytest.fixture
def bench():
    made = []

    def make(policy, **arguments):
        made.append(Bench(policy, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.runner.close()


def test_proprioception_is_the_target_at_the_image_stamp(bench):
    b = bench(FakePolicy())
    b.begin()
    b.target(100.0, 0.40)
    b.target(100.1, 0.50)
    b.target(100.2, 0.60)
    b.now = 100.2
    b.show(100.15)
    b.wait_for(lambda: b.sent)
    chunk = b.sent[0]
    assert chunk.actions_TD[0, 0] == pytest.approx(0.55)
    assert chunk.frame.token == "stamp 100.15" and chunk.sequence == 0 and chunk.episode.episode_id == "e1"


def test_nothing_is_planned_without_episode_frame_or_target(bench):
    b = bench(FakePolicy())
    b.show(100.0)
    b.target(99.9, 0.4)
    b.settle()
    assert not b.sent
    b.begin()
    b.now = 100.01
    b.settle()
    assert len(b.sent) == 1, "frame, target and episode are there"


def test_frames_of_the_scene_before_the_episode_are_not_used(bench):
    b = bench(FakePolicy())
    b.target(99.0, 0.4)
    b.show(99.95)
    b.begin()
    b.settle()
    assert not b.sent
    b.now = 100.1
    b.target(100.0, 0.4)
    b.show(100.05)
    b.wait_for(lambda: b.sent)
    assert b.sent[0].frame.stamp == 100.05


def test_targets_that_dried_up_stop_the_policy(bench):
    b = bench(FakePolicy())
    b.target(99.9, 0.4)
    b.begin()
    b.now = 101.0
    b.show(100.95)
    b.settle()
    assert not b.sent


def test_an_episode_that_ends_during_inference_gets_no_chunk(bench):
    entered, leave = threading.Event(), threading.Event()

    class Slow(FakePolicy):
        def infer(self, *observation):
            entered.set()
            assert leave.wait(LIMIT_S)
            return super().infer(*observation)

    b = bench(Slow())
    b.target(100.0, 0.4)
    b.begin()
    b.show(100.0)
    assert entered.wait(LIMIT_S)
    started = time.monotonic()
    for _ in range(100):
        b.show(100.0)
        b.target(100.0, 0.4)
    b.runner.end()
    assert time.monotonic() - started < 5.0, "callbacks wait for an inference"
    leave.set()
    b.settle()
    assert not b.sent


@pytest.mark.parametrize("answer", [RuntimeError("cuda\nlost"), np.full((20, 7), np.nan)])
def test_a_failed_inference_is_a_fault_until_the_next_episode(bench, answer):
    policy = FakePolicy(answer)
    b = bench(policy)
    b.target(100.0, 0.4)
    b.begin()
    b.show(100.0)
    b.wait_for(lambda: b.runner.fault)
    assert "\n" not in b.runner.fault and not b.sent
    policy.answer = None
    b.begin("e2")
    b.wait_for(lambda: b.sent)
    assert not b.runner.fault and b.sent[0].episode.episode_id == "e2"


def test_noise_is_fixed_by_the_episode_seed(bench):
    noises = []
    for seed in (3, 3, 4):
        policy = FakePolicy()
        b = bench(policy)
        b.target(100.0, 0.4)
        b.begin(seed=seed)
        b.show(100.0)
        b.wait_for(lambda b=b: b.sent)
        noises.append(policy.calls[0][3])
    np.testing.assert_array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])


def test_policies_are_replaced_between_episodes_only(bench):
    b = bench(FakePolicy())
    b.begin()
    with pytest.raises(RuntimeError):
        b.runner.replace(FakePolicy())
    b.runner.end()
    other = FakePolicy()
    b.runner.replace(other)
    assert b.runner.policy is other
