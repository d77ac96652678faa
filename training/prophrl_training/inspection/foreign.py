"""LeRobot datasets (ours and anyone's) and LIBERO's HDF5 as recordings."""

import numpy as np
from prophrl_core import se3
from prophrl_core.action import ActionSpec, integrate
from prophrl_core.errors import UserError

from prophrl_training.embodiments.agreement import agreement, contradictions
from prophrl_training.embodiments.card import Card
from prophrl_training.embodiments.libero_hdf5 import LiberoFile
from prophrl_training.embodiments.mapping import MappedEpisode, map_episode
from prophrl_training.embodiments.pictures import upright
from prophrl_training.embodiments.resample import resample
from prophrl_training.inspection.own_episodes import CONTROL
from prophrl_training.inspection.recording import Motion, Recording, Stream

CLOCK = "timestamp"
_STATE_POSE, _STATE_OPENNESS = slice(6, 15), 15  # of our observation.state: joints 6, xyz and two columns 9, openness


def motion_of(card: Card, arm: str, mapped: MappedEpisode) -> Motion:
    """A mapped foreign episode; rows are taken to be one step apart."""
    n, period = len(mapped.pose), 1.0 / mapped.rate_hz
    integrated, _ = integrate(mapped.pose[0], mapped.actions)
    measured = np.concatenate([mapped.pose[:1], mapped.after])
    openness = np.append(mapped.openness, mapped.openness[-1])[: len(measured)]
    steps = (np.arange(n) + 1) * period
    found = agreement(mapped)
    doubts = tuple(contradictions(card, [found]))
    notes = (f"card: {found.text()}", beyond_spec(mapped))
    return Motion(
        arm,
        np.arange(len(measured)) * period,
        measured,
        openness,
        steps,
        mapped.actions,
        integrated,
        notes,
        doubts,
        card.tolerance.mismatch,
    )


def beyond_spec(mapped: MappedEpisode) -> str:
    """How many of the steps at our rate are longer than our action spec allows, in words."""
    spec = ActionSpec()
    actions = resample(mapped, spec.rate_hz).actions
    far = np.linalg.norm(actions[:, :3], axis=1) > spec.max_translation
    turned = np.linalg.norm(actions[:, 3:6], axis=1) > spec.max_rotation
    limits = f"{spec.max_translation:g} m or {spec.max_rotation:g} rad"
    return f"at {spec.rate_hz:g} Hz {(far | turned).sum()} of {len(actions)} steps are longer than our spec's {limits}"


def own_motion(rows: dict[str, np.ndarray], rate_hz: float) -> Motion:
    """The motion in a dataset that we converted: actions lead from one commanded pose to the next."""
    state, proprio, actions = rows["observation.state"], rows["observation.proprio"], rows["action"].astype(float)
    n, period = len(actions), 1.0 / rate_hz
    integrated, _ = integrate(_pose9(proprio[:1, :9])[0], actions)
    measured = _pose9(state[:, _STATE_POSE])
    return Motion(
        "arm",
        np.arange(n) * period,
        measured,
        state[:, _STATE_OPENNESS].astype(float),
        (np.arange(n) + 1) * period,
        actions,
        integrated,
    )


def _pose9(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    x, y = values[:, 3:6], values[:, 6:9]
    return se3.transform(np.stack([x, y, np.cross(x, y)], axis=-1), values[:, :3])


def lerobot_recording(dataset, index: int, card: Card | None) -> Recording:
    """Episode ``index`` of an open dataset; ``card`` None for a dataset that we converted."""
    entry = dataset.episodes[index]
    rows = dataset.rows(index)
    for name, values in rows.items():
        if np.issubdtype(values.dtype, np.floating) and not name.startswith("action.proposed"):
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            if bad.any():
                raise UserError(f"column {name!r} is not finite in row {int(np.argmax(bad))}")
    t = rows[CLOCK].reshape(-1).astype(float)
    control = {}
    if card is None:
        rate, motions = dataset.fps, (own_motion(rows, dataset.fps),)
        who = rows["control"].reshape(-1) if "control" in rows else np.empty(0)
        control = {CONTROL.get(int(w), "nobody"): float((who == w).mean()) for w in np.unique(who)}
    else:
        rate = card.rate_hz
        motions = tuple(motion_of(card, arm, map_episode(card, rows, arm)) for arm in card.arms)
    stored = {camera.key: camera.stored for camera in card.cameras} if card else {}
    cameras = {
        key.removeprefix("observation.images."): _frames(dataset, index, key, t, stored.get(key, "upright"))
        for key in dataset.image_keys
    }
    outcome = str(entry.facts.get("outcome") or "")
    if not outcome and "is_episode_successful" in rows:
        outcome = "success" if bool(np.asarray(rows["is_episode_successful"]).reshape(-1)[-1]) else "failure"
    clock = Stream(CLOCK, t, np.empty(0))
    return Recording(
        str(entry.facts.get("episode_id") or f"episode {entry.index}"),
        dataset.task(index),
        outcome or "unlabelled",
        len(t) / rate,
        rate,
        (clock,),
        cameras,
        motions,
        control,
    )


def _frames(dataset, index: int, key: str, t: np.ndarray, stored: str):
    return lambda: ((at, upright(picture, stored)) for at, picture in zip(t, dataset.frames(index, key), strict=True))


def libero_recording(file: LiberoFile, demo: str, card: Card) -> Recording:
    """One demonstration of a native file. LIBERO keeps successful ones only."""
    columns = file.columns(demo)
    mapped = map_episode(card, columns)
    n, period = len(columns["actions"]), 1.0 / card.rate_hz
    t = np.arange(n) * period
    cameras = {
        key.removeprefix("obs/").removesuffix("_rgb"): _libero_frames(file, demo, key, t) for key in file.cameras(demo)
    }
    return Recording(
        demo,
        file.instruction,
        "success",
        n * period,
        card.rate_hz,
        (Stream("rows", t, np.empty(0)),),
        cameras,
        (motion_of(card, "arm", mapped),),
    )


def _libero_frames(file: LiberoFile, demo: str, key: str, t: np.ndarray):
    def frames():
        pictures = file.frames(demo, key)
        for i, picture in enumerate(pictures):
            if i >= len(t):
                raise UserError(f"{demo}: {key} has more pictures than there are actions ({len(t)})")
            yield t[i], picture
        if i + 1 < len(t):
            raise UserError(f"{demo}: {key} has {i + 1} pictures, expected {len(t)}")

    return frames
