"""Does the card fit the data? Commanded motion, as mapped, against the motion that was then measured."""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.action import integrate
from prophrl_core.errors import UserError

from prophrl_training.embodiments.card import Card
from prophrl_training.embodiments.mapping import MappedEpisode, map_episode

MAX_LAG = 8  # steps by which the robot may follow late
LEAST_TRAVEL_M = 0.01  # less commanded motion than this, summed, says nothing
LEAST_TURN_RAD = 0.2
AXIS_SHARE = 0.1
UNCOMMANDED_M = 0.1  # more measured motion than this without any command contradicts the card


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One episode. Correlations are of per-step motion about the base axis that fits worst, 1 perfect; nan where
    nothing was commanded (an axis counts when it has a tenth of the command's square).

    ``gain`` is measured translation per commanded one, ``lag`` the steps (0 to 8) at which translation fits best, and
    the rms values compare the integrated mapped actions with the measured poses.
    """

    translation: float
    rotation: float
    gripper: float
    gain: float
    lag: int
    rms_position: float  # m
    rms_rotation: float  # rad
    path: float  # m

    def text(self) -> str:
        """One line for a person."""
        return (
            f"translation {self.translation:.2f}, rotation {self.rotation:.2f}, gripper {self.gripper:.2f},"
            f" gain {self.gain:.2f}, lag {self.lag}, integrated actions off by {1e3 * self.rms_position:.1f} mm and"
            f" {np.degrees(self.rms_rotation):.1f} deg rms over {self.path:.2f} m"
        )


def agreement(episode: MappedEpisode) -> Agreement:
    """Measure how far the mapped actions explain the measured motion."""
    n = len(episode.after)
    pose, target, after = episode.pose[:n], episode.target[:n], episode.after
    asked, moved = target[:, :3, 3] - pose[:, :3, 3], after[:, :3, 3] - pose[:, :3, 3]
    turned_back = np.swapaxes(pose[:, :3, :3], 1, 2)
    asked_turn = se3.matrix_to_rotvec(target[:, :3, :3] @ turned_back)
    moved_turn = se3.matrix_to_rotvec(after[:, :3, :3] @ turned_back)
    by_lag = [_correlation(asked, moved, lag, LEAST_TRAVEL_M) for lag in range(MAX_LAG + 1)]
    lag = 0 if np.isnan(by_lag).all() else int(np.nanargmax(by_lag))
    reached, _ = integrate(episode.pose[0], episode.actions[:n])
    off = reached[:, :3, 3] - after[:, :3, 3]
    turn_off = se3.rotation_angle(np.swapaxes(reached[:, :3, :3], 1, 2) @ after[:, :3, :3])
    square, path = float((asked**2).sum()), float(np.linalg.norm(moved, axis=1).sum())
    return Agreement(
        translation=0.0 if np.isnan(by_lag[lag]) and path > UNCOMMANDED_M else by_lag[lag],
        rotation=_best(asked_turn, moved_turn, LEAST_TURN_RAD),
        gripper=_gripper(episode.command, episode.openness),
        gain=_shifted_dot(asked, moved, lag) / square if square else float("nan"),
        lag=lag,
        rms_position=float(np.sqrt((off**2).sum(1).mean())),
        rms_rotation=float(np.sqrt((turn_off**2).mean())),
        path=path,
    )


def check_card(card: Card, episodes: list[dict[str, np.ndarray]], arm: str | None = None) -> list[Agreement]:
    """Agreement of every episode (columns by name) with each of the card's ways of stating actions.

    The result is that of the first way. UserError, with the numbers, when the medians of any contradict the card.
    """
    first = []
    for i, stated in enumerate(card.arm(arm).actions):
        found = [agreement(map_episode(card, columns, arm, i)) for columns in episodes]
        first = first or found
        complaints = contradictions(card, found)
        if complaints:
            raise UserError(
                f"card {card.name} does not fit this dataset: by {stated.position.column!r}, {'; '.join(complaints)}"
                f" (median of {len(found)} episodes); choose another --card or correct it"
            )
    return first


def contradictions(card: Card, found: list[Agreement]) -> list[str]:
    """What in the medians over episodes lies outside the card's tolerance, one phrase each."""
    t = card.tolerance
    complaints = []
    for name, least in (("translation", t.translation), ("rotation", t.rotation), ("gripper", t.gripper)):
        value = _median([getattr(a, name) for a in found])
        if value < least:
            complaints.append(f"{name} correlates {value:.2f} with what was measured (expected {least:.2f} or more)")
    gain = _median([a.gain for a in found])
    if not np.isnan(gain) and not t.gain_low <= gain <= t.gain_high:
        expected = f"expected {t.gain_low:.2f} to {t.gain_high:.2f}"
        complaints.append(f"the arm moved {gain:.2f} of what was commanded ({expected})")
    return complaints


def _median(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.median(known)) if known else float("nan")


def _shifted_dot(asked: np.ndarray, moved: np.ndarray, lag: int) -> float:
    return float((asked[: len(asked) - lag] * moved[lag:]).sum())


def _correlation(asked: np.ndarray, moved: np.ndarray, lag: int, least: float) -> float:
    if lag >= len(asked) - 1:
        return float("nan")
    a, m = asked[: len(asked) - lag], moved[lag:]
    if np.linalg.norm(a, axis=1).sum() < least or not m.any():
        return float("nan")
    square = (a**2).sum(axis=0)
    counts = square >= AXIS_SHARE * square.sum()
    return float(((a * m).sum(0)[counts] / np.sqrt(square * (m**2).sum(0) + 1e-24)[counts]).min())


def _best(asked: np.ndarray, moved: np.ndarray, least: float) -> float:
    by_lag = [_correlation(asked, moved, lag, least) for lag in range(MAX_LAG + 1)]
    return float("nan") if np.isnan(by_lag).all() else float(np.nanmax(by_lag))


def _gripper(command: np.ndarray, openness: np.ndarray) -> float:
    """Correlation at the lag where it is strongest, of either sign; nan unless both moved."""
    best = float("nan")
    for lag in range(min(MAX_LAG, len(command) - 2) + 1):
        c, o = command[: len(command) - lag], openness[lag:]
        if c.std() > 0.05 and o.std() > 0.02:
            found = float(np.corrcoef(c, o)[0, 1])
            best = found if not abs(found) <= abs(best) else best
    return best
