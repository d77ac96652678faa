"""One thread beside the cell that foretells chunks and then looks whether it came true; no ROS, no torch.

Calls from the outside are quick and never wait for it. It works on one chunk at a time; of those that come meanwhile
only the newest waits. Times are of ROS stamps, s, so that a chunk's observation is found among the pictures exactly.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from prophrl_core.target_history import TargetHistory

from prophrl_world_model.live_episode import LiveChunk, LiveEpisode, Prophecy
from prophrl_world_model.live_fidelity import Comparison, RecentPictures, RunStep, compare

WAKE_S = 0.05

# (picture_HW3, T_base_tcp_44, openness, actions_K7, past clips, seed) -> frames (K, H, W, 3) after each step
Imagine = Callable[[np.ndarray, np.ndarray, float, np.ndarray, list[np.ndarray], int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class LiveConfig:
    """The rhythm of chunks and pictures. ``within`` is how far (s) a picture may be from the time it stands for."""

    chunk_steps: int
    period: float
    within: float
    past_clips: int  # the model's memory, in chunks

    @property
    def keep_seconds(self) -> float:
        """How long pictures are of use: the memory, the chunk that runs, and one more for the time to imagine it."""
        return (self.past_clips + 2) * self.chunk_steps * self.period


class LiveProphet:
    """Foretells chunks while an episode lasts. ``show``, ``report`` and ``say`` are called on its thread.

    ``show(prophecy)`` when one is made, ``report(episode, prophecy, comparison)`` when it has been compared,
    ``say(line)`` for an episode's summary and for what went wrong.
    """

    def __init__(
        self,
        config: LiveConfig,
        imagine: Imagine,
        show: Callable[[Prophecy], None],
        report: Callable[[LiveEpisode, Prophecy, Comparison], None],
        say: Callable[[str], None],
    ) -> None:
        self.config = config
        self._imagine, self._show, self._report, self._say = imagine, show, report, say
        self._episode: LiveEpisode | None = None
        self._pictures = RecentPictures(config.keep_seconds)
        self._targets, self._newest_target = TargetHistory(config.keep_seconds), -np.inf
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="prophet", daemon=True)
        self._thread.start()

    @property
    def episode(self) -> LiveEpisode | None:
        """The episode under way or just over, None when all is said about it."""
        return self._episode

    def close(self) -> None:
        """Stop; waits a little for a prophecy in the making."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=5.0)

    def looking(self) -> bool:
        """Whether pictures are of use now."""
        return self._episode is not None

    def see(self, stamp: float, picture_HW3: np.ndarray) -> None:
        """A picture at the model's size."""
        with self._changed:
            if self._episode is not None and stamp >= self._episode.started:
                self._pictures.add(stamp, picture_HW3)

    def commanded(self, stamp: float, T_base_tcp: np.ndarray, openness: float) -> None:
        """The target (4, 4) and openness commanded at ``stamp``."""
        with self._changed:
            if stamp < self._newest_target - self.config.keep_seconds:  # the clock was set back
                self._targets.clear()
            self._targets.append(stamp, T_base_tcp, openness)
            self._newest_target = stamp

    def begin(self, episode_id: str, started: float) -> None:
        """An episode began; of the one before nothing more is said than what is known now."""
        with self._changed:
            if self._episode is not None and self._episode.episode_id == episode_id:
                return
            before, self._episode = self._episode, LiveEpisode(episode_id, started)
            self._pictures.clear()
        if before is not None and before.chunks:
            self._say(before.summary())

    def end(self) -> None:
        """The episode is over: nothing more is foretold; what was is still compared."""
        with self._changed:
            episode = self._episode
            if episode is not None:
                episode.skipped += episode.waiting is not None
                episode.ended, episode.waiting = True, None
                self._changed.notify()

    def planned(self, episode_id: str, chunk: LiveChunk) -> None:
        """A chunk was sent; it takes the place of one that waits."""
        with self._changed:
            episode = self._episode
            if episode is None or episode.ended or episode.episode_id != episode_id:
                return
            episode.chunks += 1
            episode.skipped += episode.waiting is not None
            episode.waiting = chunk
            self._changed.notify()

    def ran(self, episode_id: str, key: tuple[int, int], step: RunStep) -> None:
        """A step of a chunk was carried out."""
        with self._changed:
            episode = self._episode
            if episode is None or episode.episode_id != episode_id:
                return
            episode.record(key, step)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                work = self._due()
                if work is None:
                    self._changed.wait(WAKE_S)
                    continue
            try:
                work()
            except Exception as error:  # the next chunk may be better; whoever watches is told
                self._say(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")

    def _due(self) -> Callable[[], None] | None:
        """What to do next. Call with the lock held."""
        episode = self._episode
        if episode is None:
            return None
        for prophecy in episode.open:
            steps = episode.ran.get(prophecy.chunk.key, [])
            if episode.over(prophecy.chunk) and (episode.ended or not steps or self._pictures.newest >= steps[-1].end):
                episode.open.remove(prophecy)
                return partial(self._compare, episode, prophecy, list(steps))
        chunk = episode.waiting
        if chunk is not None and self._pictures.newest >= chunk.observed:
            episode.waiting = None
            return self._start(episode, chunk)
        if episode.ended and not episode.open:
            self._episode = None
            return partial(self._say, episode.summary()) if episode.chunks else None
        return None

    def _start(self, episode: LiveEpisode, chunk: LiveChunk) -> Callable[[], None] | None:
        """The work on a chunk whose picture is there, None where there is nothing to begin from."""
        config = self.config
        given = self._pictures.before(chunk.observed, config.within)
        target = self._targets.at(chunk.observed)
        if given is None or target is None:
            episode.blind += 1
            return None
        steps, most = config.chunk_steps, config.past_clips
        past = self._pictures.clips(chunk.observed, steps, config.period, config.within, most)
        return partial(self._foretell, episode, chunk, given, target, past)

    def _foretell(self, episode: LiveEpisode, chunk: LiveChunk, given_HW3: np.ndarray, target, past) -> None:
        begun = time.monotonic()
        frames = self._imagine(given_HW3, *target, chunk.actions_K7, past, chunk.key[1])
        prophecy = Prophecy(chunk, given_HW3, frames, time.monotonic() - begun)
        with self._changed:
            if self._closing or self._episode is not episode:
                return
            episode.foretold(prophecy)
        self._show(prophecy)

    def _compare(self, episode: LiveEpisode, prophecy: Prophecy, steps: list[RunStep]) -> None:
        config = self.config
        with self._changed:
            pictures = self._pictures.copy()
        found = compare(prophecy.given_HW3, prophecy.frames_KHW3, steps, pictures, config.period, config.within)
        with self._changed:
            if not found.frames or self._closing or self._episode is not episode:
                return
            episode.total = episode.total.joined(found)
        self._report(episode, prophecy, found)
