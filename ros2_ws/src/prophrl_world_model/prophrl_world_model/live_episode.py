"""One episode as Prophet follows it: the chunks that were sent, what was said of them, which of their steps ran.

Times are of ROS stamps, s. A chunk's key is (source, sequence), as in ActionChunk.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from prophrl_world_model.live_fidelity import Comparison, RunStep

REMEMBERED_CHUNKS = 32  # whose executed steps are kept
OPEN_PROPHECIES = 4  # that may wait for their chunk to run; of more the oldest is dropped


@dataclasses.dataclass(frozen=True, eq=False)
class LiveChunk:
    """A chunk that was sent: ``key`` (source, sequence), and ``token``, which comes back with what is found."""

    key: tuple[int, int]
    observed: float
    actions_K7: np.ndarray
    token: object = None


@dataclasses.dataclass(frozen=True, eq=False)
class Prophecy:
    """What the model said of a chunk: frames (K, H, W, 3) after each step, from the ``given`` picture."""

    chunk: LiveChunk
    given_HW3: np.ndarray
    frames_KHW3: np.ndarray
    seconds: float


@dataclasses.dataclass
class LiveEpisode:
    """One episode as far as it was foretold."""

    episode_id: str
    started: float
    chunks: int = 0
    prophecies: int = 0
    skipped: int = 0  # came while the model was busy
    blind: int = 0  # without a picture or a target for them
    total: Comparison = Comparison()
    ended: bool = False
    waiting: LiveChunk | None = None
    ran: dict[tuple[int, int], list[RunStep]] = dataclasses.field(default_factory=dict)
    open: list[Prophecy] = dataclasses.field(default_factory=list)  # not compared yet

    def record(self, key: tuple[int, int], step: RunStep) -> None:
        """A step of the chunk ``key`` was carried out."""
        self.ran.setdefault(key, []).append(step)
        while len(self.ran) > REMEMBERED_CHUNKS:
            del self.ran[next(iter(self.ran))]

    def foretold(self, prophecy: Prophecy) -> None:
        """A prophecy was made; it is to be compared once its chunk has run."""
        self.prophecies += 1
        self.open = [*self.open, prophecy][-OPEN_PROPHECIES:]

    def over(self, chunk: LiveChunk) -> bool:
        """Whether no more steps of ``chunk`` will run."""
        if self.ended:
            return True
        steps, newest = self.ran.get(chunk.key), next(reversed(self.ran), None)
        if steps and steps[-1].step == len(chunk.actions_K7) - 1:
            return True
        if newest is None or newest == chunk.key:
            return False
        return bool(steps) or (newest[0] == chunk.key[0] and newest[1] > chunk.key[1])

    def summary(self) -> str:
        """One line for the log."""
        t = self.total
        return (
            f"{self.episode_id}: {self.prophecies} of {self.chunks} chunks foretold ({self.skipped} skipped, "
            f"{self.blind} without picture or target), {t.frames} frames compared: EPE {t.epe:.2f} px (still "
            f"{t.still_epe:.2f}), cosine {t.cosine:.2f}, PSNR {t.psnr:.1f} dB"
        )
