"""What lies at a path: our episodes, a LeRobot dataset, or a LIBERO HDF5; and how to read it episode by episode."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from prophrl_core.episode import META_NAME, PARTIAL_SUFFIX
from prophrl_core.errors import UserError

from prophrl_training.inspection.recording import Recording

HDF5 = (".hdf5", ".h5")
CHECKED_EPISODES = 20  # whose agreement with the card is measured before anything is shown


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of recordings: names and how to load each. ``facts`` are lines for the page."""

    title: str
    kind: str
    facts: dict[str, str]
    episodes: tuple[tuple[str, Callable[[], Recording]], ...]


@contextlib.contextmanager
def open_source(path: Path, card_name: str | None) -> Iterator[Source]:
    """Find out what ``path`` is; UserError when it is none of the three or its card does not fit."""
    if path.suffix in HDF5:
        yield from _libero(path, card_name)
    elif (path / "meta" / "info.json").is_file():
        yield from _lerobot(path, card_name)
    elif path.is_dir():
        yield _own(path)
    else:
        raise UserError(
            f"{path}: expected a folder of episodes, a LeRobot dataset (meta/info.json) or a LIBERO .hdf5; "
            "check the path"
        )


def _own(path: Path) -> Source:
    from prophrl_training.inspection.own_episodes import load

    root = path if not (path / META_NAME).is_file() else path.parent
    folders = [path] if root != path else sorted(p for p in path.iterdir() if p.is_dir())
    if root == path and not any((p / META_NAME).is_file() or p.name.endswith(PARTIAL_SUFFIX) for p in folders):
        if (path / "episodes").is_dir():
            return _own(path / "episodes")
        raise UserError(
            f"{path}: expected episode folders, a LeRobot dataset or a LIBERO .hdf5, found none; check the path"
        )
    episodes = tuple((folder.name, lambda folder=folder: load(folder)) for folder in folders)
    return Source(
        path.resolve().parent.name if path.name == "episodes" else path.name, "prophrl episodes", {}, episodes
    )


def _lerobot(path: Path, card_name: str | None) -> Iterator[Source]:
    from prophrl_training.datasets.reader import open_dataset
    from prophrl_training.embodiments.card import load_card
    from prophrl_training.embodiments.matching import facts, match_card
    from prophrl_training.inspection.foreign import lerobot_recording

    dataset = open_dataset(path)
    try:
        ours = "prophrl" in dataset.info and card_name is None
        card = None
        if not ours:
            known = facts(path.resolve().name, dataset.robot_type, dataset.features)
            card = load_card(card_name) if card_name else match_card(known)
            chosen = range(min(len(dataset.episodes), CHECKED_EPISODES))
            _believe(card, [lambda i=i: dataset.rows(i) for i in chosen])
        said = {
            "version": dataset.version,
            "robot": dataset.robot_type or "unknown",
            "stored rate": f"{dataset.fps:g} Hz",
        }
        episodes = tuple(
            (
                str(entry.facts.get("episode_id") or f"episode {entry.index}"),
                lambda i=i: lerobot_recording(dataset, i, card),
            )
            for i, entry in enumerate(dataset.episodes)
        )
        yield Source(path.resolve().name, "LeRobot dataset", said | _card_facts(card), episodes)
    finally:
        dataset.close()


def _libero(path: Path, card_name: str | None) -> Iterator[Source]:
    from prophrl_training.embodiments.card import load_card
    from prophrl_training.embodiments.libero_hdf5 import LiberoFile
    from prophrl_training.inspection.foreign import libero_recording

    with LiberoFile(path) as file:
        card = load_card(card_name or file.card)
        _believe(card, [lambda demo=demo: file.columns(demo) for demo in file.demos[:CHECKED_EPISODES]])
        said = {"instruction": file.instruction, "task definition": file.task_definition}
        episodes = tuple((demo, lambda demo=demo: libero_recording(file, demo, card)) for demo in file.demos)
        yield Source(path.stem, "LIBERO HDF5", said | _card_facts(card), episodes)


def _believe(card, loaders: list[Callable[[], dict]]) -> None:
    """Check the card against the episodes that can be mapped; the others are named when they are loaded."""
    from prophrl_training.embodiments.agreement import check_card
    from prophrl_training.embodiments.mapping import map_episode

    readable, refusal = [], None
    for load in loaders:
        try:
            columns = load()
            map_episode(card, columns)
            readable.append(columns)
        except UserError as error:
            refusal = error
    if not readable and refusal:
        raise refusal
    for arm in card.arms:
        check_card(card, readable, arm)


def _card_facts(card) -> dict[str, str]:
    if card is None:
        return {}
    return {"card": f"{card.name}: {card.title}", "base frame": card.base_frame, "TCP": card.tcp_frame}
