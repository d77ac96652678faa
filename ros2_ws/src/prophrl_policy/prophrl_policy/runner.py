"""From frames and commanded targets to chunks, on a thread of its own; no ROS.

The newest frame and the target commanded at its capture time make one observation. Frames and
targets come in by quick calls that never wait for an inference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prophrl_core.action import proprioception
from prophrl_core.policy_image import crop_and_resize
from prophrl_core.target_history import TargetHistory

from prophrl_policy.backends import ChunkPolicy
from prophrl_policy.scheduling import ChunkScheduler, Decision, LatencyWindow, ScheduleConfig

WAKE_SECONDS = 0.05


@dataclass(frozen=True)
class Frame:
    """One camera frame; ``stamp`` its capture time (monotonic s), ``token`` comes back with the chunk."""

    stamp: float
    image: Callable[[], np.ndarray]  # (H, W, 3) uint8 RGB, called only when the frame is used
    token: object = None


@dataclass(frozen=True)
class Episode:
    """What to do, from when on; ``seed`` fixes the noise."""

    episode_id: str
    instruction: str
    seed: int
    started: float  # monotonic s; earlier frames show another scene


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk (T, D) in units, ready to send."""

    actions_TD: np.ndarray
    frame: Frame
    episode: Episode
    sequence: int
    inference_seconds: float


class ChunkRunner:
    """Plans chunks while an episode lasts and hands them to ``send`` (called on the runner's thread).

    ``fault`` is one line once an inference has failed or given numbers that are not finite; nothing
    more is sent until the next episode.
    """

    def __init__(
        self,
        policy: ChunkPolicy,
        schedule: ScheduleConfig,
        send: Callable[[PlannedChunk], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy, self._send, self._clock = policy, send, clock
        self._scheduler = ChunkScheduler(schedule)
        self._max_age = schedule.max_observation_age
        self.inference, self.latency = self._scheduler.latency, LatencyWindow()
        self.chunks, self.fault = 0, ""
        self._frame: Frame | None = None
        self._episode: Episode | None = None
        self._targets, self._newest_target = TargetHistory(), -np.inf
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="policy", daemon=True)
        self._thread.start()

    @property
    def episode(self) -> Episode | None:
        """The episode under way, None between episodes."""
        return self._episode

    def close(self) -> None:
        """Stop the thread; waits for an inference under way."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=5.0)

    def see(self, frame: Frame) -> None:
        """A new frame; only the newest counts."""
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def commanded(self, stamp: float, T_base_tcp: np.ndarray, openness: float) -> None:
        """The target (4, 4) and openness commanded at ``stamp`` (monotonic s)."""
        with self._changed:
            self._targets.append(stamp, T_base_tcp, openness)
            self._newest_target = max(self._newest_target, stamp)

    def begin(self, episode: Episode) -> None:
        """Plan for ``episode`` from now on."""
        with self._changed:
            self._episode, self._rng = episode, np.random.default_rng(episode.seed)
            self._scheduler.restart()
            self.chunks, self.fault = 0, ""
            self._changed.notify()

    def end(self) -> None:
        """Plan nothing more; a chunk being planned is thrown away."""
        with self._changed:
            self._episode = None

    def replace(self, policy: ChunkPolicy) -> None:
        """Use another policy. Raises RuntimeError during an episode."""
        with self._changed:
            if self._episode is not None:
                raise RuntimeError("a policy is replaced between episodes only")
            self.policy = policy

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(WAKE_SECONDS)
                if self._closing:
                    return
                due = self._due()
            if due is not None:
                self._plan(*due)

    def _due(self) -> tuple[Episode, Frame, np.ndarray] | None:
        """Episode, frame and proprioception to infer on now, None to wait. Call with the lock held."""
        episode, frame = self._episode, self._frame
        if episode is None or self.fault or frame is None or frame.stamp < episode.started:
            return None
        if self._scheduler.decide(self._clock(), frame.stamp) is not Decision.INFER:
            return None
        target = self._targets.at(frame.stamp)
        if target is None or frame.stamp - self._newest_target > self._max_age:
            return None
        return episode, frame, proprioception(*target)

    def _plan(self, episode: Episode, frame: Frame, proprio_P: np.ndarray) -> None:
        policy, started = self.policy, time.perf_counter()
        try:
            image = crop_and_resize(frame.image(), policy.bundle.manifest.image)
            noise_TD = self._rng.standard_normal(policy.noise_shape)
            actions_TD = policy.infer(image, proprio_P, episode.instruction, noise_TD)
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            self._fail(f"inference failed ({type(error).__name__}: {first}); check the camera and the bundle")
            return
        seconds = time.perf_counter() - started
        if not np.isfinite(actions_TD).all():
            self._fail("inference gave numbers that are not finite; load another bundle")
            return
        with self._changed:
            if self._episode is not episode or self._closing:
                return
            self._scheduler.sent(frame.stamp, seconds)
            sequence, self.chunks = self.chunks, self.chunks + 1
        self._send(PlannedChunk(actions_TD, frame, episode, sequence, seconds))
        self.latency.add(self._clock() - frame.stamp)

    def _fail(self, reason: str) -> None:
        with self._changed:
            self.fault = reason
