"""Arm poses to photograph the target from: inside the envelope, in view, and together as telling as can be."""

import dataclasses

import numpy as np
from prophrl_cell.arm.envelope import Envelope
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_core.errors import UserError
from prophrl_core.ur_kinematics import nearest_inverse

from prophrl_calibration.refine import moved
from prophrl_calibration.target import Target
from prophrl_calibration.views import Mount

_BORDER = 18  # px kept between the board and the picture's edge
_TILT_KEPT, _WALL_KEPT = 0.06, 0.02  # rad, m kept to the envelope
_BATCH, _BATCHES = 512, 60  # poses drawn at a time; poses drawn at most per candidate
_CORNER_SIGMA = 0.1  # px, for comparing sets of poses only


@dataclasses.dataclass(frozen=True)
class Search:
    """How poses are looked for. Angles in rad. ``steepest``: between the board's normal and the line of sight."""

    poses: int = 20
    candidates: int = 600
    tilt: float = 0.5  # of the tool from straight down
    turn: float = 1.2  # about the tool's axis, from home
    steepest: float = 1.05
    nearest: float = 0.25  # m from the camera to the board's middle
    farthest: float = 1.3
    elbow: float = 1.6  # largest joint difference from home
    above: float = 0.02  # m that a board on the tool stays above the bottom of the workspace


@dataclasses.dataclass(frozen=True)
class Nominal:
    """What is known of a camera and a target before calibration; X and Y as in ``views``."""

    mount: Mount
    camera: CameraModel
    target: Target
    X: np.ndarray
    Y: np.ndarray

    def seen_at(self, T_base_tool0: np.ndarray) -> np.ndarray:
        """T_camera_target (4, 4) expected with the arm at this pose."""
        M = T_base_tool0 if self.mount is Mount.EYE_TO_HAND else se3.inverse(T_base_tool0)
        return se3.inverse(self.X) @ M @ self.Y


@dataclasses.dataclass(frozen=True)
class Pose:
    """One proposed pose: joints (6,) rad, ``T_base_tool0`` (4, 4) and the expected T_camera_target (4, 4)."""

    q: np.ndarray
    T_base_tool0: np.ndarray
    T_camera_target: np.ndarray


def visible(nominal: Nominal, T_camera_target_N44: np.ndarray, search: Search) -> np.ndarray:
    """Where (N,) the whole board is in the picture, from its front, neither too steep nor too near or far."""
    target, T = nominal.target, T_camera_target_N44
    middle = T[:, :3, :3] @ [target.width / 2, target.height / 2, 0.0] + T[:, :3, 3]
    distance = np.linalg.norm(middle, axis=1)
    good = (middle[:, 2] > 0) & (search.nearest <= distance) & (distance <= search.farthest)
    good &= np.sum(T[:, :3, 2] * middle, axis=1) >= distance * np.cos(search.steepest)
    pixels, depth = nominal.camera.project(target.outline_43 @ np.swapaxes(T[:, :3, :3], 1, 2) + T[:, None, :3, 3])
    size = np.array([nominal.camera.width, nominal.camera.height])
    inside = (pixels > _BORDER) & (pixels < size - 1 - _BORDER)
    return good & (depth > 0.05).all(1) & inside.all((1, 2))


def candidates(envelope: Envelope, home: np.ndarray, nominal: Nominal, search: Search, rng) -> list[Pose]:
    """Random poses that the arm may take and the camera can use."""
    found: list[Pose] = []
    for _ in range(_BATCHES * search.candidates // _BATCH + 1):
        T_base_tool0 = _draw(envelope, home, search, rng)
        seen = nominal.seen_at(T_base_tool0)
        good = visible(nominal, seen, search)
        if nominal.mount is Mount.EYE_TO_HAND:
            on_tool = nominal.target.outline_43 @ nominal.Y[:3, :3].T + nominal.Y[:3, 3]
            height = (on_tool @ np.swapaxes(T_base_tool0[:, :3, :3], 1, 2))[..., 2] + T_base_tool0[:, None, 2, 3]
            good &= height.min(1) >= envelope.box[0, 2] + search.above
        for i in np.flatnonzero(good):
            q = nearest_inverse(envelope.model, T_base_tool0[i], home)
            if q is None or np.max(np.abs(q - home)) > search.elbow or envelope.check_path(q[None]) is not None:
                continue
            found.append(Pose(q, T_base_tool0[i], seen[i]))
            if len(found) == search.candidates:
                return found
    return found


def _draw(envelope: Envelope, home: np.ndarray, search: Search, rng) -> np.ndarray:
    """Random T_base_tool0 (N, 4, 4) within the envelope's box and cone."""
    low, high = envelope.box + np.array([[_WALL_KEPT], [-_WALL_KEPT]])
    tilt_limit = min(search.tilt, envelope.spec.max_tilt - _TILT_KEPT)
    lean, way = tilt_limit * np.sqrt(rng.random(_BATCH)), rng.uniform(-np.pi, np.pi, _BATCH)
    zero = np.zeros(_BATCH)
    tilted = se3.rotvec_to_matrix(lean[:, None] * np.stack([np.cos(way), np.sin(way), zero], -1))
    turned = se3.rotvec_to_matrix(np.stack([zero, zero, rng.uniform(-1, 1, _BATCH) * search.turn], -1))
    rotation = tilted @ envelope.tcp(home)[:3, :3] @ turned
    return se3.transform(rotation, rng.uniform(low, high, (_BATCH, 3))) @ se3.inverse(envelope.T_tool0_tcp)


def propose(
    envelope: Envelope, home: np.ndarray, nominal: Nominal, search: Search = Search(), seed: int = 0
) -> list[Pose]:
    """The poses that together tell most of X and Y, by the determinant of the information matrix."""
    choice = candidates(envelope, np.asarray(home, float), nominal, search, np.random.default_rng(seed))
    if len(choice) < search.poses:
        raise UserError(
            f"poses: expected {search.poses} in the envelope from which the camera sees the whole board, found "
            f"{len(choice)}; "
            "move the board or the camera, use a smaller board, or widen the workspace"
        )
    return in_order(most_telling(nominal, choice, search.poses), np.asarray(home, float))


def most_telling(nominal: Nominal, choice: list[Pose], number: int) -> list[Pose]:
    """At most ``number`` of ``choice``, each next one adding most to what is known (greedy)."""
    rows = information(nominal, choice)
    total, chosen = np.eye(12) * 1e-3, []
    for _ in range(min(number, len(choice))):
        gain = np.linalg.slogdet(total + rows)[1]
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        total = total + rows[chosen[-1]]
    return [choice[i] for i in chosen]


def covering(nominal: Nominal, choice: list[Pose], number: int, grid: tuple[int, int] = (8, 6)) -> list[Pose]:
    """At most ``number`` of ``choice`` whose boards together fill the picture, the most tilted first where equal."""
    size, filled = np.array([nominal.camera.width, nominal.camera.height]), np.zeros(grid, int)
    cells = []
    for pose in choice:
        T = pose.T_camera_target
        pixels, _ = nominal.camera.project(nominal.target.corners_N3 @ T[:3, :3].T + T[:3, 3])
        cells.append(np.unique(np.clip((pixels / size * grid).astype(int), 0, np.array(grid) - 1), axis=0))
    chosen: list[int] = []
    for _ in range(min(number, len(choice))):
        gain = [
            -1.0 if i in chosen else float(np.sum(0.5 ** filled[tuple(c.T)])) - 0.5 * choice[i].T_camera_target[2, 2]
            for i, c in enumerate(cells)
        ]
        chosen.append(int(np.argmax(gain)))
        filled[tuple(cells[chosen[-1]].T)] += 1
    return [choice[i] for i in chosen]


def information(nominal: Nominal, poses: list[Pose]) -> np.ndarray:
    """What a view from each of N poses tells of the twelve numbers of X and Y: (N, 12, 12), from central
    differences.
    """
    points = nominal.target.corners_N3[:: max(1, len(nominal.target.corners_N3) // 12)]
    T_base_tool0 = np.array([pose.T_base_tool0 for pose in poses])

    def pixels(p: np.ndarray) -> np.ndarray:
        shifted = dataclasses.replace(nominal, X=moved(nominal.X, p[:6]), Y=moved(nominal.Y, p[6:]))
        T = shifted.seen_at(T_base_tool0)
        seen = points @ np.swapaxes(T[:, :3, :3], 1, 2) + T[:, None, :3, 3]
        return shifted.camera.project(seen)[0].reshape(len(poses), -1)

    J = np.stack([(pixels(s) - pixels(-s)) / 2e-5 for s in np.eye(12) * 1e-5], axis=2)
    return np.swapaxes(J, 1, 2) @ J / _CORNER_SIGMA**2


def in_order(poses: list[Pose], q: np.ndarray) -> list[Pose]:
    """The poses in an order of short ways, from joints ``q`` (6,): always the nearest of those left."""
    left, ordered = list(poses), []
    while left:
        nearest = min(range(len(left)), key=lambda i: float(np.max(np.abs(left[i].q - q))))
        ordered.append(left.pop(nearest))
        q = ordered[-1].q
    return ordered
