"""Embodiment cards: what the numbers of a foreign dataset mean, with the source of each statement.

A card is a strict YAML file. It says where a pose, an action and a gripper value lie in the dataset's columns and how
they are to be read; ``mapping`` turns columns into our action spec, ``agreement`` checks the card against the data.
Columns are flattened to (T, K) before ``start`` counts, so (T, 2, 3) is six numbers wide.
"""

import dataclasses
from pathlib import Path

from prophrl_core import strict_yaml
from prophrl_core.errors import UserError

from prophrl_training.embodiments.rotation_encoding import check_encoding, is_euler

CARDS = Path(__file__).parent / "cards"
KINDS = ("absolute", "delta")
DELTA_FRAMES = ("base", "tool", "euler_angles")
MEANINGS = ("commanded", "reached")
STORED_IMAGES = ("upright", "upside_down", "mirrored")
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class VectorColumn:
    """Three numbers of a column, times ``scale``: metres."""

    column: str
    start: int = 0
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class RotationColumn:
    """A rotation in a column; ``scale`` multiplies the numbers first (rotation vectors and Euler angles only)."""

    column: str
    encoding: str  # rotvec, quat_xyzw, quat_wxyz, euler_xyz (about fixed axes), euler_XYZ (about moving axes), ...
    start: int = 0
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class GripperColumn:
    """One number: ``closed`` and ``open`` are its values at openness 0 and 1; between them it is linear."""

    column: str
    closed: float
    open: float
    start: int = 0


@dataclasses.dataclass(frozen=True)
class StateColumns:
    """The measured state. ``after_action``: row t was taken after action t was executed, not before it.

    ``tool_rotation`` (row-major 3x3) is multiplied from the right: TCP axes = stored rotation @ tool_rotation.
    """

    position: VectorColumn
    rotation: RotationColumn
    openness: GripperColumn
    after_action: bool = False
    tool_rotation: tuple[float, ...] = IDENTITY


@dataclasses.dataclass(frozen=True)
class ActionColumns:
    """One way in which the dataset states its actions.

    kind "absolute": position and rotation are the target pose. kind "delta": the target is the measured pose before
    the action, moved; ``frame`` "base": p + d, dR @ R; "tool": T @ dT; "euler_angles": p + d and the state's Euler
    angles plus d. ``meaning`` "reached" marks actions that were computed from the following state.
    """

    kind: str
    position: VectorColumn
    rotation: RotationColumn
    openness: GripperColumn
    frame: str = "base"
    meaning: str = "commanded"


@dataclasses.dataclass(frozen=True)
class ArmColumns:
    """One arm. The first of ``actions`` is mapped; all of them must agree with the state."""

    state: StateColumns
    actions: tuple[ActionColumns, ...]


@dataclasses.dataclass(frozen=True)
class CardCamera:
    """One camera. ``stored`` says how its pictures lie; ``intrinsics`` are fx, fy, cx, cy in pixels when known."""

    key: str
    view: str
    stored: str = "upright"
    width: int = 0
    height: int = 0
    intrinsics: tuple[float, ...] = ()
    extrinsics: str = "unknown"


@dataclasses.dataclass(frozen=True)
class Recognition:
    """How a dataset is known: all ``features`` (name: flattened size, 0 any) are there, and the robot type is listed.

    ``elements`` names the single numbers of a feature; a dataset that names them otherwise is another one. ``names``
    are parts of dataset names; they decide between cards that fit equally well.
    """

    features: dict[str, int]
    robot_types: tuple[str, ...] = ()
    elements: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """When the data contradict the card (medians over episodes; see ``agreement``).

    ``mismatch`` is for a single episode: how far, rms, integrated actions may be off the measured TCP after the lag.
    """

    translation: float = 0.5  # least correlation of commanded and measured translation
    rotation: float = 0.5
    gripper: float = 0.3
    gain_low: float = 0.1  # measured translation per commanded one
    gain_high: float = 1.6
    mismatch: float = 0.05  # m


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a statement of the card comes from."""

    fact: str
    url: str


@dataclasses.dataclass(frozen=True)
class Card:
    """One dataset family. ``rate_hz`` is the rate of control; ``stored_rate_hz`` what the dataset's fps says."""

    name: str
    title: str
    datasets: tuple[str, ...]
    match: Recognition
    rate_hz: float
    stored_rate_hz: float
    base_frame: str
    tcp_frame: str
    arms: dict[str, ArmColumns]
    cameras: tuple[CardCamera, ...]
    sources: tuple[Source, ...]
    unverified: tuple[str, ...]
    tolerance: Tolerance = Tolerance()

    def arm(self, name: str | None = None) -> ArmColumns:
        """The columns of one arm, the card's first by default; UserError names the arms there are."""
        if name is None:
            return next(iter(self.arms.values()))
        if name not in self.arms:
            raise UserError(f"card {self.name}: expected one of the arms {', '.join(self.arms)}, got {name!r}")
        return self.arms[name]


def available() -> list[str]:
    """Names of the cards that come with this package."""
    return sorted(path.stem for path in CARDS.glob("*.yaml"))


def load_card(name_or_path: str | Path) -> Card:
    """A card by name or by path to a .yaml; UserError says what is wrong and where."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = CARDS / f"{name_or_path}.yaml"
        if str(name_or_path) not in available():
            known = ", ".join(available())
            raise UserError(f"card {str(name_or_path)!r} is not known; give one of {known} or a path to a .yaml")
    if not path.is_file():
        raise UserError(f"card: expected a file at {path}, found none; check the path")
    card = strict_yaml.build(Card, strict_yaml.load(path), path.name)
    _check(card, path)
    return card


def _check(card: Card, path: Path) -> None:
    def one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise UserError(f"{path.name}: {where}: expected one of {', '.join(allowed)}, got {value!r}")

    if not card.name == path.stem:
        raise UserError(f"{path.name}: name: expected {path.stem!r} as the file is called, got {card.name!r}")
    if not (card.rate_hz > 0 and card.stored_rate_hz > 0 and card.arms):
        raise UserError(f"{path.name}: expected rates above 0 and at least one arm")
    for name, arm in card.arms.items():
        where = f"arms.{name}"
        if not arm.actions:
            raise UserError(f"{path.name}: {where}.actions: expected at least one entry, got none")
        if len(arm.state.tool_rotation) != 9:
            raise UserError(f"{path.name}: {where}.state.tool_rotation: expected 9 numbers, row by row")
        check_encoding(arm.state.rotation.encoding, f"{path.name}: {where}.state.rotation")
        for i, action in enumerate(arm.actions):
            one_of(f"{where}.actions[{i}].kind", action.kind, KINDS)
            one_of(f"{where}.actions[{i}].frame", action.frame, DELTA_FRAMES)
            one_of(f"{where}.actions[{i}].meaning", action.meaning, MEANINGS)
            check_encoding(action.rotation.encoding, f"{path.name}: {where}.actions[{i}].rotation")
            both_euler = is_euler(action.rotation.encoding) and is_euler(arm.state.rotation.encoding)
            if action.frame == "euler_angles" and not both_euler:
                raise UserError(
                    f"{path.name}: {where}.actions[{i}]: euler_angles: expected Euler angles in the state, too"
                )
        for gripper in (arm.state.openness, *(a.openness for a in arm.actions)):
            if gripper.closed == gripper.open:
                raise UserError(f"{path.name}: {where}: expected 'closed' and 'open' to differ in {gripper.column}")
    for camera in card.cameras:
        one_of(f"cameras.{camera.key}.stored", camera.stored, STORED_IMAGES)
        if len(camera.intrinsics) not in (0, 4):
            raise UserError(f"{path.name}: cameras.{camera.key}.intrinsics: expected fx, fy, cx, cy or nothing")
