"""Foreign columns to our action spec (method.md section 1), by the card."""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.errors import UserError

from prophrl_training.embodiments import rotation_encoding
from prophrl_training.embodiments.card import ActionColumns, ArmColumns, Card, GripperColumn, RotationColumn


@dataclasses.dataclass(frozen=True)
class MappedEpisode:
    """One arm over N actions, at ``rate_hz``. Poses are T_base_tcp in the card's base frame, metres.

    Row i: ``pose`` was measured just before the action, ``target`` is where the action sends the TCP by the end of the
    step. ``after`` holds the measured poses at the ends of steps: N rows, or N - 1 when the dataset stops before the
    last one. ``rows`` are the dataset rows whose pictures belong to ``pose``.
    """

    pose: np.ndarray  # (N, 4, 4)
    openness: np.ndarray  # (N,) measured, 0 closed, 1 open
    target: np.ndarray  # (N, 4, 4)
    command: np.ndarray  # (N,) commanded openness
    after: np.ndarray  # (N or N - 1, 4, 4)
    rows: np.ndarray  # (N,) int
    rate_hz: float

    @property
    def actions(self) -> np.ndarray:
        """Executed actions (N, 7) of our spec: from one target to the next, starting at the first measured pose."""
        previous = np.concatenate([self.pose[:1], self.target[:-1]])
        motion = se3.pose_to_rotvec(se3.inverse(previous) @ self.target)
        return np.concatenate([motion, self.command[:, None]], axis=1)


def map_episode(card: Card, columns: dict[str, np.ndarray], arm: str | None = None, action: int = 0) -> MappedEpisode:
    """Map the columns (name -> (T, ...)) of one episode.

    ``arm`` names an arm of the card (default: its first), ``action`` one of that arm's ways of stating actions.
    UserError when a column is missing, too narrow, of another length or not finite.
    """
    chosen = card.arm(arm)
    reader = _Reader(card.name, columns)
    state, stated = chosen.state, chosen.actions[action]
    pose = _state_poses(reader, chosen)
    openness = reader.openness(state.openness)
    command = reader.openness(stated.openness)
    if len({len(pose), len(openness), len(command)}) != 1 or len(pose) < 2:
        raise UserError(f"card {card.name}: expected columns of one length of at least 2, got {reader.lengths()}")
    if state.after_action:
        before, rows = slice(0, -1), np.arange(len(pose) - 1)
        moved = _targets(reader, stated, chosen, pose[before], slice(1, None), before)
        return MappedEpisode(pose[before], openness[before], moved, command[1:], pose[1:], rows, card.rate_hz)
    everything = slice(None)
    moved = _targets(reader, stated, chosen, pose, everything, everything)
    return MappedEpisode(pose, openness, moved, command, pose[1:], np.arange(len(pose)), card.rate_hz)


def _state_poses(reader: "_Reader", arm: ArmColumns) -> np.ndarray:
    state = arm.state
    tool = np.reshape(state.tool_rotation, (3, 3))
    position = reader.vector(state.position.column, state.position.start, 3) * state.position.scale
    return se3.transform(reader.rotation(state.rotation) @ tool, position)


def _targets(
    reader: "_Reader", stated: ActionColumns, arm: ArmColumns, pose: np.ndarray, action_rows: slice, state_rows: slice
) -> np.ndarray:
    tool = np.reshape(arm.state.tool_rotation, (3, 3))
    place = reader.vector(stated.position.column, stated.position.start, 3)[action_rows] * stated.position.scale
    if stated.kind == "absolute":
        return se3.transform(reader.rotation(stated.rotation)[action_rows] @ tool, place)
    if stated.frame == "tool":
        return pose @ se3.transform(reader.rotation(stated.rotation)[action_rows], place)
    if stated.frame == "base":
        return se3.transform(reader.rotation(stated.rotation)[action_rows] @ pose[:, :3, :3], pose[:, :3, 3] + place)
    angles = reader.vector(arm.state.rotation.column, arm.state.rotation.start, 3) * arm.state.rotation.scale
    turned = reader.vector(stated.rotation.column, stated.rotation.start, 3)[action_rows] * stated.rotation.scale
    rotation = rotation_encoding.to_matrix(angles[state_rows] + turned, arm.state.rotation.encoding)
    return se3.transform(rotation @ tool, pose[:, :3, 3] + place)


class _Reader:
    """Checked access to the columns of one episode."""

    def __init__(self, card: str, columns: dict[str, np.ndarray]):
        self._card, self._columns = card, columns

    def vector(self, name: str, start: int, size: int) -> np.ndarray:
        """Values (T, size) of a column."""
        if name not in self._columns:
            known = ", ".join(sorted(self._columns))
            raise UserError(f"card {self._card}: expected column {name!r}, found: {known}; is it the right card?")
        values = np.asarray(self._columns[name])
        if values.dtype == object or not np.issubdtype(values.dtype, np.number):
            raise UserError(f"card {self._card}: expected numbers in column {name!r}, got {values.dtype}")
        flat = values.reshape(len(values), -1)
        if flat.shape[1] < start + size:
            got = f"expected at least {start + size} values a row in {name!r}, got {flat.shape[1]}"
            raise UserError(f"card {self._card}: {got}; is it the right card?")
        chosen = flat[:, start : start + size].astype(float)
        bad = ~np.isfinite(chosen).all(axis=1)
        if bad.any():
            raise UserError(f"card {self._card}: column {name!r} is not finite in row {int(np.argmax(bad))}")
        return chosen

    def rotation(self, column: RotationColumn) -> np.ndarray:
        """Rotation matrices (T, 3, 3)."""
        values = self.vector(column.column, column.start, rotation_encoding.width(column.encoding))
        try:
            return rotation_encoding.to_matrix(values * column.scale, column.encoding)
        except ValueError as error:
            raise UserError(f"card {self._card}: column {column.column!r}: {error}") from None

    def openness(self, column: GripperColumn) -> np.ndarray:
        """Openness (T,), 0 closed and 1 open."""
        value = self.vector(column.column, column.start, 1)[:, 0]
        return np.clip((value - column.closed) / (column.open - column.closed), 0.0, 1.0)

    def lengths(self) -> str:
        """How long the columns are, for errors."""
        return ", ".join(f"{name} {len(values)}" for name, values in sorted(self._columns.items()))
