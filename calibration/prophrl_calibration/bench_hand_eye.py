"""Hand-eye calibration on drawn pictures with known truth: our error, OpenCV's on the same corners, stated
against true.

One run: camera and target stand a little off their nominal places, poses are proposed from the nominal ones,
pictures are drawn at the true ones. Corners come from the detector, arm poses from forward kinematics.
"""

import dataclasses

import numpy as np
from prophrl_cell.arm.envelope import Envelope
from prophrl_core import se3
from prophrl_core.cell import CellSpec

from prophrl_calibration import closed_form, held_out, proposals, refine, rig
from prophrl_calibration.detection import BadPicture, detect
from prophrl_calibration.drawing import Sensor, photograph
from prophrl_calibration.views import Mount, Problem, View, target_poses

_OFF_M, _OFF_RAD = 0.008, 0.02  # how far mounts are from nominal, each axis
_SPOILED_M, _SPOILED_RAD = 0.008, 0.02  # an outlier: the arm was not where it said


@dataclasses.dataclass(frozen=True)
class Case:
    """Conditions of a run. ``outliers``: views whose arm pose is wrong; ``biased``: poses from a quarter of the
    tilts.
    """

    name: str
    poses: int = 20
    blur: float = 0.0
    outliers: int = 0
    biased: bool = False


CASES = (
    Case("usual"), Case("six_poses", poses=6), Case("outliers", outliers=3), Case("blur", blur=1.0),
    Case("biased_poses", biased=True),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """Errors (m, rad) of one run: ours, of every closed form (None where it failed), and what we said of ours."""

    case: str
    mount: str
    seed: int
    error: tuple[float, float]
    stated: tuple[float, float]
    others: dict[str, tuple[float, float] | None]
    held_out: held_out.HeldOut
    views: int
    dropped: tuple[int, ...]
    spoiled: tuple[int, ...]


def error(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Distance (m) and angle (rad) between two poses."""
    return (
        float(np.linalg.norm(found[:3, 3] - true[:3, 3])),
        float(se3.rotation_angle(found[:3, :3].T @ true[:3, :3])),
    )


def displaced(T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A true mount near its nominal one."""
    return refine.moved(T, np.concatenate([_OFF_M * rng.uniform(-1, 1, 3), _OFF_RAD * rng.uniform(-1, 1, 3)]))


def search_of(case: Case) -> proposals.Search:
    """Biased: the tool stays nearly upright and hardly turns, as people tend to leave it."""
    if case.biased:
        return proposals.Search(poses=case.poses, candidates=200, tilt=0.2, turn=0.3)
    return proposals.Search(poses=case.poses, candidates=300)


def pictured(nominal, poses, case: Case, noise: float, rng) -> tuple[Problem, np.ndarray, tuple[int, ...]]:
    """Views of one run, the true X, and the indices of spoiled views."""
    X, Y = displaced(nominal.X, rng), displaced(nominal.Y, rng)
    true = dataclasses.replace(nominal, X=X, Y=Y)
    views = []
    for i, pose in enumerate(poses):
        image = photograph(
            nominal.target, true.seen_at(pose.T_base_tool0), nominal.camera, Sensor(noise, case.blur), rng
        )
        try:
            views.append(View(f"pose {i + 1}", pose.T_base_tool0, detect(image, nominal.target)))
        except BadPicture:
            continue  # as at the cell: a view less
    spoiled = tuple(sorted(int(i) for i in rng.choice(len(views), case.outliers, replace=False)))
    for i in spoiled:
        ways = [v / np.linalg.norm(v) for v in rng.normal(size=(2, 3))]
        wrong = refine.moved(views[i].T_base_tool0, np.concatenate([_SPOILED_M * ways[0], _SPOILED_RAD * ways[1]]))
        views[i] = dataclasses.replace(views[i], T_base_tool0=wrong)
    return Problem(nominal.mount, nominal.target, nominal.camera, tuple(views)), X, spoiled


def run(cell: CellSpec, envelope: Envelope, mount: Mount, case: Case, seed: int, noise: float = 3.0) -> Run:
    """One run from its seed."""
    nominal = rig.nominal(cell, mount, cell.cameras[0].name)
    poses = proposals.propose(envelope, np.array(cell.robot.home), nominal, search_of(case), seed)
    rng = np.random.default_rng([seed, list(Mount).index(mount), [c.name for c in CASES].index(case.name)])
    problem, X, spoiled = pictured(nominal, poses, case, noise, rng)
    solution = refine.solve(problem)
    T = target_poses(problem)
    solved = {method: closed_form.solve(method, problem.M_N44, T) for method in closed_form.METHODS}
    return Run(
        case.name, mount.value, seed, error(solution.X, X), solution.radius(),
        {name: None if found is None else error(found[0], X) for name, found in solved.items()},
        held_out.residuals(problem, solution), len(problem.views), solution.outliers, spoiled,
    )  # fmt: skip
