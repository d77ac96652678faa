"""Which card a dataset belongs to."""

import dataclasses
import math

from prophrl_core.errors import UserError

from prophrl_training.embodiments.card import Card, available, load_card


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """What a dataset says of itself: ``sizes`` are numbers per row, ``elements`` their names where it names them."""

    name: str
    robot_type: str
    sizes: dict[str, int]
    elements: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def facts(name: str, robot_type: str, features: dict) -> DatasetFacts:
    """From the features of a LeRobot dataset: name -> ``datasets.features.Feature``."""
    sizes = {key: math.prod(feature.shape) for key, feature in features.items()}
    elements = {key: tuple(f.names) for key, f in features.items() if f.names and len(f.names) == sizes[key]}
    return DatasetFacts(name, robot_type, sizes, elements)


def fits(card: Card, dataset: DatasetFacts) -> bool:
    """Whether features, their sizes and their elements' names are the card's, and the robot type is known to it."""
    wanted = card.match
    robot = dataset.robot_type.lower()
    if wanted.robot_types and robot not in ("", "unknown", *(t.lower() for t in wanted.robot_types)):
        return False
    if any(name not in dataset.sizes or size not in (0, dataset.sizes[name]) for name, size in wanted.features.items()):
        return False
    return all(dataset.elements.get(name, names) == names for name, names in wanted.elements.items())


def match_card(dataset: DatasetFacts) -> Card:
    """The one card that fits the dataset; UserError when none fits, or several and its name does not decide."""
    fitting = [card for card in map(load_card, available()) if fits(card, dataset)]
    if len(fitting) > 1:
        name = dataset.name.lower()
        fitting = [card for card in fitting if any(part.lower() in name for part in card.match.names)] or fitting
    if len(fitting) == 1:
        return fitting[0]
    which = f"dataset {dataset.name!r} (robot {dataset.robot_type or 'unknown'!r})"
    if fitting:
        raise UserError(f"{which} fits several cards: {', '.join(c.name for c in fitting)}; choose with --card")
    raise UserError(f"{which} fits none of the cards {', '.join(available())}; choose with --card, or write one")
