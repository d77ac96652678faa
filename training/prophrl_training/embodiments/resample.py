"""A mapped episode at another rate: poses and targets along geodesics, gripper commands held."""

import numpy as np
from prophrl_core import se3

from prophrl_training.embodiments.mapping import MappedEpisode

_ROUND = 1e-9  # of a step, so that equal rates give equal rows


def resample(episode: MappedEpisode, rate_hz: float) -> MappedEpisode:
    """The same motion in steps of 1 / rate_hz; a last step that the episode does not fill is dropped.

    Targets are taken at the ends of the new steps on the path that starts at the first measured pose and passes every
    target at the end of its step, so integrating the new actions ends where the old ones did. The gripper command of a
    new step is the one in force at its end; pictures are the last ones taken before the step.
    """
    n, ratio = len(episode.pose), episode.rate_hz / rate_hz
    steps = int(np.floor(n / ratio + _ROUND))
    starts = np.arange(steps) * ratio  # in old steps
    ends = starts + ratio
    path = np.concatenate([episode.pose[:1], episode.target])
    measured = np.concatenate([episode.pose[:1], episode.after])
    last = len(measured) - 1
    row = np.minimum(np.floor(starts + _ROUND).astype(int), n - 1)
    held = np.clip(np.ceil(ends - _ROUND).astype(int) - 1, 0, n - 1)
    after = ends[ends <= last + _ROUND]
    return MappedEpisode(
        pose=along(measured, np.minimum(starts, last)),
        openness=np.interp(starts, np.arange(n), episode.openness),
        target=along(path, ends),
        command=episode.command[held],
        after=along(measured, after),
        rows=episode.rows[row],
        rate_hz=rate_hz,
    )


def along(poses: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Poses (M, 4, 4) at fractional rows ``at`` (M,) of a path (K, 4, 4): straight lines, constant-axis rotations."""
    low = np.clip(np.floor(at + _ROUND).astype(int), 0, max(len(poses) - 2, 0))
    high = np.minimum(low + 1, len(poses) - 1)
    share = np.clip(at - low, 0.0, 1.0)[:, None]
    a, b = poses[low], poses[high]
    turn = se3.matrix_to_rotvec(np.swapaxes(a[:, :3, :3], 1, 2) @ b[:, :3, :3])
    rotation = a[:, :3, :3] @ se3.rotvec_to_matrix(share * turn)
    return se3.transform(rotation, (1.0 - share) * a[:, :3, 3] + share * b[:, :3, 3])
