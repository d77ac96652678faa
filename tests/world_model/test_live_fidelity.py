"""Prophecies beside a running cell: the right pictures, the steps that ran, one chunk at a time, an episode's means."""

import math
import threading
import time

import cv2
import numpy as np
import pytest
from prophrl_world_model.live_episode import LiveChunk
from prophrl_world_model.live_fidelity import Comparison, RecentPictures, RunStep, comparable, compare
from prophrl_world_model.live_prophet import LiveConfig, LiveProphet

T0, PERIOD, K, WITHIN = 1000.0, 0.1, 8, 1 / 30
CONFIG = LiveConfig(K, PERIOD, WITHIN, past_clips=2)


def scene(t: float) -> np.ndarray:
    """A blob on a textured ground, moving 2 px in each step of 0.1 s."""
    ground = cv2.resize(np.random.default_rng(0).integers(90, 110, (16, 16, 3), dtype=np.uint8), (64, 64))
    return cv2.circle(ground, (int(10 + 20 * (t - T0)) % 64, 32), 9, (250, 240, 20), -1)


def times(start: float, end: float, rate: float = 30.0) -> list[float]:
    return [round(float(t), 6) for t in np.arange(start, end, 1 / rate)]


def filmed(start: float, end: float, rate: float = 30.0, seconds: float = 10.0) -> RecentPictures:
    pictures = RecentPictures(seconds)
    for t in times(start, end, rate):
        pictures.add(t, scene(t))
    return pictures


def clip(start: float) -> np.ndarray:
    return np.stack([scene(start + (k + 1) * PERIOD) for k in range(K)])


def ran(first: int, last: int, start: float = T0) -> list[RunStep]:
    return [RunStep(k, start + (k + 1) * PERIOD) for k in range(first, last)]


def test_pictures_are_found_by_their_time_and_forgotten():
    pictures = RecentPictures(1.0)
    for t in (T0, T0 + 0.5, T0 + 0.4, T0 + 0.9):
        pictures.add(t, np.full((1, 1, 3), round(10 * (t - T0)), np.uint8))
    assert len(pictures) == 3 and pictures.newest == T0 + 0.9
    assert pictures.before(T0 + 0.5, 0.0)[0, 0, 0] == 5 and pictures.before(T0 + 0.49, 0.1) is None
    assert pictures.nearest(T0 + 0.72, 0.2)[0, 0, 0] == 9 and pictures.nearest(T0 + 0.7, 0.1) is None
    pictures.add(T0 + 1.2, np.zeros((1, 1, 3), np.uint8))
    assert pictures.nearest(T0, 0.1) is None and len(pictures) == 3
    pictures.add(T0 - 3600, np.zeros((1, 1, 3), np.uint8))  # the clock was set back
    assert len(pictures) == 1 and RecentPictures(1.0).nearest(T0, 9.0) is None


def test_past_clips_end_where_the_next_begins_and_are_whole():
    pictures = filmed(T0, T0 + 2.0)
    clips = pictures.clips(T0 + 1.8, K, PERIOD, WITHIN, most=3)
    assert [c.shape for c in clips] == [(K + 1, 64, 64, 3)] * 2
    assert np.array_equal(clips[0][-1], clips[1][0]) and np.array_equal(clips[1][-1], scene(T0 + 1.8))
    assert not pictures.clips(T0 + 0.7, K, PERIOD, WITHIN, most=3)


def test_only_what_ran_as_planned_is_compared():
    assert [s.step for s in comparable(ran(2, 6))] == [2, 3, 4, 5]
    steps = ran(0, 6)
    steps[3] = RunStep(3, steps[3].end, clamped=True)
    assert [s.step for s in comparable(steps)] == [0, 1, 2]
    assert [s.step for s in comparable(ran(0, 2) + ran(4, 6))] == [0, 1]


@pytest.mark.parametrize("first", [0, 2])
def test_a_true_prophecy_is_good_and_a_still_one_is_not(first):
    pictures, steps = filmed(T0, T0 + 1.0), ran(first, 6)
    true = compare(scene(T0), clip(T0), steps, pictures, PERIOD, WITHIN)
    still = compare(scene(T0), np.stack([scene(T0)] * K), steps, pictures, PERIOD, WITHIN)
    assert true.frames == still.frames == 6 - first
    assert true.epe < 0.2 * still.epe and true.cosine > 0.9 and true.psnr > still.psnr + 5
    assert still.still_epe == pytest.approx(still.epe, abs=1e-3) and still.cosine < true.cosine


def test_a_comparison_ends_where_the_camera_saw_nothing():
    pictures = filmed(T0, T0 + 0.34)
    assert compare(scene(T0), clip(T0), ran(0, 8), pictures, PERIOD, WITHIN).frames == 3
    assert compare(scene(T0), clip(T0), ran(0, 8), RecentPictures(9.0), PERIOD, WITHIN).frames == 0
    assert compare(scene(T0), clip(T0), [], pictures, PERIOD, WITHIN) == compare(
        scene(T0), clip(T0), ran(K, K + 1), pictures, PERIOD, WITHIN
    )


def test_means_weigh_frames_and_cosines_those_in_motion():
    a, b = Comparison(2, 0, 1.0, 2.0, math.nan, 20.0), Comparison(6, 3, 3.0, 4.0, 0.5, 30.0)
    both = Comparison().joined(a).joined(b)
    assert (both.frames, both.moving, both.epe, both.still_epe, both.cosine, both.psnr) == (8, 3, 2.5, 3.5, 0.5, 27.5)
    assert math.isnan(Comparison().joined(a).cosine)


class Beside:
    """A LiveProphet whose model knows the scene, and takes as long as it is told to."""

    def __init__(self, slow=False):
        self.free, self.begun = threading.Event(), threading.Semaphore(0)
        self.asked, self.shown, self.reports, self.said = [], [], [], []
        if not slow:
            self.free.set()
        self.live = LiveProphet(CONFIG, self.imagine, self.shown.append, self.report, self.said.append)

    def imagine(self, picture, T, openness, actions, past, seed):
        self.asked.append((seed, T[0, 3], openness, len(past), picture))
        self.begun.release()
        assert self.free.wait(10)
        if not np.isfinite(actions).all():
            raise ValueError("expected finite actions\nand more")
        return clip(actions[0, 0])

    def report(self, episode, prophecy, comparison):
        self.reports.append((prophecy.chunk.key, comparison, episode.total))

    def film(self, start, end):
        for t in times(start, end):
            self.live.commanded(t, np.eye(4) * (1 + t - T0), 0.5)
            self.live.see(t, scene(t))

    def plan(self, sequence, observed, source=0, episode="e1"):
        self.live.planned(episode, LiveChunk((source, sequence), observed, np.full((K, 7), observed)))

    def run(self, sequence, steps, source=0):
        for step in steps:
            self.live.ran("e1", (source, sequence), step)

    def until(self, condition):
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, (self.asked, self.reports, self.said)
            time.sleep(0.01)


@pytest.fixture
def beside():
    made = []

    def make(**options):
        made.append(Beside(**options))
        return made[-1]

    yield make
    for one in made:
        one.free.set()
        one.live.close()


def test_an_episode_is_foretold_compared_and_summed_up(beside):
    b = beside()
    b.plan(0, T0)
    b.live.begin("e1", T0)
    b.live.begin("e1", T0)  # heard twice
    b.film(T0 - 1.0, T0 + 1.2)
    b.plan(0, T0)
    b.until(lambda: len(b.shown) == 1)
    assert np.array_equal(b.asked[0][4], scene(T0)) and b.asked[0][2:4] == (0.5, 0)
    b.run(0, ran(0, 4))
    assert not b.reports, "a chunk under way is not over"
    b.plan(1, T0 + 0.4)
    b.until(lambda: len(b.shown) == 2)
    b.run(1, ran(0, 4, T0 + 0.4))
    b.until(lambda: b.reports)
    assert b.reports[0][0] == (0, 0) and b.reports[0][1].frames == 4 and b.reports[0][1].cosine > 0.9
    b.plan(2, T0 + 0.8)
    b.until(lambda: len(b.shown) == 3)
    assert b.asked[2][3] == 1, "a whole chunk of the past is remembered, nothing from before the start"
    b.live.end()
    b.until(lambda: b.said)
    assert [key for key, *_ in b.reports] == [(0, 0), (0, 1)] and b.reports[1][2].frames == 8
    assert b.said[0].startswith("e1: 3 of 3 chunks foretold (0 skipped, 0 without picture or target), 8 frames")
    assert b.live.episode is None
    b.plan(3, T0 + 0.8)
    assert len(b.said) == 1


def test_chunks_that_come_too_fast_are_skipped_not_queued(beside):
    b = beside(slow=True)
    b.live.begin("e1", T0)
    b.film(T0, T0 + 0.5)
    b.plan(0, T0)
    assert b.begun.acquire(timeout=5)
    for n in range(1, 20):
        b.plan(n, T0 + 0.01 * n)
    assert b.live.episode.skipped == 18
    b.free.set()
    b.until(lambda: len(b.shown) == 2)
    assert [seed for seed, *_ in b.asked] == [0, 19]
    b.live.end()
    b.until(lambda: b.said)
    assert "2 of 20 chunks foretold (18 skipped" in b.said[0] and " 0 frames compared" in b.said[0]


def test_a_chunk_waits_for_its_picture_and_needs_one(beside):
    b = beside()
    b.live.begin("e1", T0)
    b.film(T0, T0 + 0.1)
    b.plan(0, T0 + 0.2)
    time.sleep(0.2)
    assert not b.asked
    b.film(T0 + 0.1, T0 + 0.3)
    b.until(lambda: b.shown)
    b.live.see(T0 + 2.0, scene(T0))
    b.plan(1, T0 + 1.0)
    b.until(lambda: b.live.episode.blind == 1)
    b.plan(0, T0 + 0.2, episode="another")
    assert b.live.episode.chunks == 2


def test_a_chunk_that_still_waits_when_the_episode_ends_was_skipped(beside):
    b = beside()
    b.live.begin("e1", T0)
    b.plan(0, T0)
    b.live.end()
    b.until(lambda: b.said)
    assert "0 of 1 chunks foretold (1 skipped" in b.said[0]


def test_prophecies_of_chunks_that_never_ran_are_let_go(beside):
    b = beside()
    b.live.begin("e1", T0)
    b.film(T0, T0 + 1.0)
    for n in range(7):
        b.plan(n, T0)
        b.until(lambda n=n: len(b.shown) == n + 1)
    assert [p.chunk.key[1] for p in b.live.episode.open] == [3, 4, 5, 6]
    b.run(6, ran(0, 8))
    b.until(lambda: b.reports)
    assert not b.live.episode.open
    assert [key for key, *_ in b.reports] == [(0, 6)]


def test_a_chunk_that_a_person_took_over_ends_there(beside):
    b = beside()
    b.live.begin("e1", T0)
    b.film(T0, T0 + 1.0)
    b.plan(0, T0)
    b.until(lambda: b.shown)
    b.run(0, ran(0, 3))
    b.run(1, ran(0, 1, T0 + 0.3), source=1)
    b.until(lambda: b.reports)
    assert b.reports[0][1].frames == 3


def test_what_goes_wrong_is_one_line_and_the_next_chunk_is_foretold(beside):
    b = beside()
    b.live.begin("e1", T0)
    b.film(T0, T0 + 0.5)
    b.live.planned("e1", LiveChunk((0, 0), T0, np.full((K, 7), np.nan)))
    b.until(lambda: b.said)
    assert b.said == ["ValueError: expected finite actions"]
    b.plan(1, T0)
    b.until(lambda: b.shown)


def test_the_next_episode_begins_afresh(beside):
    b = beside(slow=True)
    b.live.begin("e1", T0)
    b.film(T0, T0 + 0.5)
    b.plan(0, T0)
    assert b.begun.acquire(timeout=5)
    b.live.begin("e2", T0 + 5.0)
    b.free.set()
    time.sleep(0.1)
    assert not b.shown and b.said[0].startswith("e1: 0 of 1")
    b.film(T0 + 0.5, T0 + 5.3)
    b.plan(0, T0 + 5.1, episode="e2")
    b.until(lambda: b.shown)
    assert b.asked[-1][3] == 0
