"""One episode onto the task's time grid: the rows of a dataset, by the rules of docs/datasets.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prophrl_core import action
from prophrl_core.episode_reader import Episode
from prophrl_core.errors import UserError
from prophrl_core.task import TaskSpec

from prophrl_training.datasets import resample, statistics
from prophrl_training.datasets.episode_streams import PERSON, EpisodeStreams, read_streams
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.parts import write_part
from prophrl_training.datasets.video_writer import VideoSettings, encode

IMAGE_PREFIX = "observation.images."
TCP_NAMES = ("tcp_x", "tcp_y", "tcp_z", "tcp_r11", "tcp_r21", "tcp_r31", "tcp_r12", "tcp_r22", "tcp_r32", "openness")
MIN_ROWS = 2
LATE_LIMIT = 5.0
EDGE_SLACK = 0.3  # s beyond a gap by which a stream may begin after the trial, or end before it; 0.06 s is usual
BROKEN_OFF = ("fault", "aborted", "discarded")  # outcomes that say themselves that a stream may have ended


@dataclasses.dataclass(frozen=True)
class ConversionRules:
    """How far from a row its values may lie, and how pictures are encoded."""

    max_image_age: float = 0.1  # s between a row and the picture nearest to it
    max_late_rows: float = 0.1  # share of the rows whose picture may be up to LATE_LIMIT times as far off
    max_state_gap: float = 0.2  # s between two samples that are interpolated
    video: VideoSettings = VideoSettings()


@dataclasses.dataclass(frozen=True)
class ResampledEpisode:
    """Rows of one episode: ``columns`` (T, ...) by feature, ``pictures`` the index of each row's frame by camera."""

    columns: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]
    path_error: tuple[float, float]  # m, rad, of the integral of the actions against the commanded path


def resample_episode(streams: EpisodeStreams, task: TaskSpec, rules: ConversionRules) -> ResampledEpisode:
    """Put the streams on the grid; UserError when one is too sparse for it."""
    _check_edges(streams, rules)
    rate = task.action.rate_hz
    times_T1 = resample.grid(*streams.span, rate)
    times_T = times_T1[:-1]
    if len(times_T) < MIN_ROWS:
        raise UserError(f"its streams overlap for less than {MIN_ROWS} steps of {1 / rate:.3g} s; record again")
    gappy = {"joint_states": streams.joints[0], "arm/tcp_pose": streams.tcp[0], "gripper/state": streams.gripper[0]}
    for name, t_N in gappy.items():
        _check_gaps(name, t_N, times_T, rules.max_state_gap)
    _check_gaps("arm/target", streams.target[0], times_T1, rules.max_state_gap)
    nearest = {name: resample.nearest(t_N, times_T) for name, t_N in streams.cameras.items()}
    for name, (_, age_T) in nearest.items():
        _check_pictures(name, age_T, rules)

    commanded_T144 = resample.interpolated_poses(*streams.target[:2], times_T1)
    openness_T1 = resample.held(streams.target[0], streams.target[2], times_T1)
    actions_T7 = resample.actions_between(commanded_T144, openness_T1)
    proposed_T7, control_T = resample.proposals(streams.steps, times_T1)
    joints_TJ = resample.interpolated(*streams.joints, times_T)
    measured_T44 = resample.interpolated_poses(*streams.tcp, times_T)
    measured_openness_T = resample.held(*streams.gripper, times_T)
    state_TS = np.concatenate([joints_TJ, action.proprioception(measured_T44, measured_openness_T)], axis=1)
    person_T = np.isin(control_T, PERSON)
    policy_before_T = np.maximum.accumulate(control_T == 0)
    columns = {
        "observation.state": state_TS.astype(np.float32),
        "observation.proprio": action.proprioception(commanded_T144[:-1], openness_T1[:-1]).astype(np.float32),
        "action": actions_T7,
        "action.proposed": proposed_T7,
        "control": control_T,
        "intervention": person_T & policy_before_T,
        "image_age": _by_camera({name: age_T for name, (_, age_T) in nearest.items()}),
    }
    pictures = {name: streams.picture_numbers[name][index_T] for name, (index_T, _) in nearest.items()}
    return ResampledEpisode(columns, pictures, resample.integration_error(commanded_T144, actions_T7))


def _check_edges(streams: EpisodeStreams, rules: ConversionRules) -> None:
    """Refuse an episode that holds only part of its trial: what is missing at the end is what the label is about."""
    meta = streams.episode.meta
    if meta.outcome in BROKEN_OFF:
        return
    for name, t_N in streams.stamps.items():
        limit = LATE_LIMIT * rules.max_image_age if name in streams.cameras else rules.max_state_gap + EDGE_SLACK
        what = f"camera {name!r}" if name in streams.cameras else f"/{name}"
        late, early = t_N[0] - meta.started, meta.ended - t_N[-1]
        if late > limit:
            raise UserError(f"{what} begins {late:.2f} s after the trial does, allowed {limit:.2g} s; record again")
        if meta.ended > meta.started and early > limit:
            raise UserError(f"{what} ends {early:.2f} s before the trial does, allowed {limit:.2g} s; record again")


def _check_gaps(name: str, t_N: np.ndarray, times_T: np.ndarray, limit: float) -> None:
    gaps_T = resample.gap_around(t_N, times_T)
    worst = int(np.argmax(gaps_T))
    if gaps_T[worst] > limit:
        raise UserError(
            f"/{name} has a gap of {gaps_T[worst]:.2f} s at {times_T[worst] - times_T[0]:.1f} s, allowed {limit} s "
            "(--max-state-gap); record again"
        )


def _check_pictures(camera: str, age_T: np.ndarray, rules: ConversionRules) -> None:
    late = np.flatnonzero(age_T > rules.max_image_age)
    if len(late) > rules.max_late_rows * len(age_T) or age_T.max() > LATE_LIMIT * rules.max_image_age:
        raise UserError(
            f"camera {camera!r}: {len(late)} of {len(age_T)} rows have no picture within {rules.max_image_age} s "
            f"(row {late[0]} is the first, the worst is {age_T.max():.2f} s off); record again, or raise "
            "--max-image-age or --max-late-rows"
        )


def features_of(streams: EpisodeStreams, sizes: dict[str, tuple[int, int]]) -> dict[str, Feature]:
    """The features of a dataset with episodes like this one; ``sizes`` are (height, width) by camera."""
    state = (*streams.joint_names, *TCP_NAMES)
    features = [
        Feature("observation.state", "float32", (len(state),), state),
        Feature("observation.proprio", "float32", (len(TCP_NAMES),), TCP_NAMES),
        Feature("action", "float32", (action.ACTION_DIMS,), action.ACTION_NAMES),
        Feature("action.proposed", "float32", (action.ACTION_DIMS,), action.ACTION_NAMES),
        Feature("control", "int64", (1,), ("source",)),
        Feature("intervention", "bool", (1,), ("intervention",)),
        Feature("image_age", "float32", (len(sizes),), tuple(sorted(sizes))),
    ]
    features += [Feature(IMAGE_PREFIX + name, "video", (*size, 3)) for name, size in sorted(sizes.items())]
    return {feature.name: feature for feature in features}


def stage_episode(
    folder: Path, episode: Episode, task: TaskSpec, cameras: tuple[str, ...], rules: ConversionRules
) -> None:
    """Convert one episode into the new ``folder``; UserError when it is refused."""
    streams = read_streams(episode, task, cameras)
    resampled = resample_episode(streams, task, rules)
    folder.mkdir(parents=True)
    stats = {name: statistics.of_column(values) for name, values in resampled.columns.items()}
    sizes, fps = {}, round(task.action.rate_hz)
    for camera in cameras:
        key, samples = IMAGE_PREFIX + camera, []
        sampled = set(statistics.sampled_steps(len(resampled.pictures[camera])).tolist())
        pictures = _counted(_chosen_frames(streams, camera, resampled.pictures[camera]), sampled, samples)
        encode(folder / f"{key}.mp4", pictures, fps, rules.video)
        stats[key] = statistics.of_pictures(np.stack([statistics.thinned(picture) for picture in samples]))
        sizes[camera] = samples[0].shape[:2]
    meta = streams.episode.meta
    facts = {
        "episode_id": meta.episode_id, "outcome": meta.outcome, "reason": meta.reason, "seed": meta.seed,
        "trial": meta.trial, "operator": meta.operator, "policy_version": meta.policy_version, "cell": meta.cell,
        "robot": meta.robot, "started": meta.started, "path_error_m": resampled.path_error[0],
        "path_error_rad": resampled.path_error[1], "interventions": _takeovers(resampled.columns["intervention"]),
        "late_rows": _late_rows(resampled.columns["image_age"], rules),
        "worst_image_age": float(resampled.columns["image_age"].max()),
    }  # fmt: skip
    write_part(folder, resampled.columns, meta.instruction, stats, facts, features_of(streams, sizes))


def _chosen_frames(streams: EpisodeStreams, camera: str, number_T: np.ndarray) -> Iterator[np.ndarray]:
    """Each row's picture, in one pass over the camera's frames; those that were overtaken wait for their row."""
    row, wanted = 0, set(number_T.tolist())
    held: dict[int, np.ndarray] = {}
    for number, (_, picture) in enumerate(streams.episode.frames(camera)):
        if number in wanted:
            held[number] = picture
        while row < len(number_T) and int(number_T[row]) in held:
            yield held[int(number_T[row])]
            row += 1
        if row == len(number_T):
            return
        held = {kept: pixels for kept, pixels in held.items() if kept in set(number_T[row:].tolist())}


def _counted(pictures: Iterator[np.ndarray], sampled: set[int], samples: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The pictures, ``samples`` getting those at the ``sampled`` rows; one of another size is refused."""
    shape = None
    for row, picture in enumerate(pictures):
        shape = shape or picture.shape
        if picture.shape != shape:
            came = f"{picture.shape[1]}x{picture.shape[0]}"
            raise UserError(f"expected pictures of {shape[1]}x{shape[0]}, row {row} has {came}; record again")
        if row in sampled:
            samples.append(picture)
        yield picture


def _by_camera(values: dict[str, np.ndarray]) -> np.ndarray:
    """(T, C) float32 in the order of the names; (T,) of a single camera, as LeRobot has single values."""
    columns_TC = np.stack([values[name] for name in sorted(values)], axis=1).astype(np.float32)
    return columns_TC if len(values) > 1 else columns_TC[:, 0]


def _late_rows(image_age: np.ndarray, rules: ConversionRules) -> int:
    late_TC = image_age.reshape(len(image_age), -1) > rules.max_image_age
    return int(np.count_nonzero(late_TC.any(axis=1)))


def _takeovers(intervention_T: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(intervention_T.astype(int), prepend=0) == 1))
