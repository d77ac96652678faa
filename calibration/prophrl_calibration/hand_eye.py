"""From views to a calibration that is worth writing down: every check in its order, then the record."""

import dataclasses
import datetime
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from prophrl_core import se3
from prophrl_core.cell import BoardSpec, CalibrationRecord, CellSpec
from prophrl_core.errors import UserError

from prophrl_calibration import diagnosis, diversity, held_out, refine
from prophrl_calibration.views import Mount, Problem

TOOL = "prophrl calibrate"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A solved problem that passed every check."""

    problem: Problem
    solution: refine.Solution
    held_out: held_out.HeldOut
    diversity: diversity.Diversity
    radius: tuple[float, float]  # m and rad that hold the truth nine times in ten

    @property
    def dropped(self) -> list[str]:
        """Names of the views that did not fit."""
        return [self.problem.views[i].name for i in self.solution.outliers]


def calibrate(problem: Problem, cell: CellSpec | None = None, camera: str = "") -> Outcome:
    """Solve and judge. UserError names what is wrong: too few or degenerate poses, units, board size, intrinsics,
    fit, and
    with ``cell`` a camera that stands where another is described."""
    spread = diversity.assess(problem)
    diagnosis.check_units(problem)
    solution = refine.solve(problem)
    diagnosis.check_fit(problem, solution)
    if cell is not None and problem.mount is Mount.EYE_TO_HAND:
        diagnosis.check_place(cell, camera, solution.X)
    return Outcome(problem, solution, held_out.residuals(problem, solution), spread, solution.radius())


def record(outcome: Outcome, joints_NQ: np.ndarray, date: datetime.datetime) -> CalibrationRecord:
    """What goes into the cell description. ``joints_NQ`` (N, 6) of all views."""
    s, h = outcome.solution, outcome.held_out
    target = outcome.problem.target
    kept = [i for i in range(len(outcome.problem.views)) if i not in s.outliers]
    fields = {f.name: getattr(target, f.name) for f in dataclasses.fields(BoardSpec)}
    made = CalibrationRecord(
        date=date.isoformat(timespec="seconds"), tool=f"{TOOL} {tool_version()}", mount=outcome.problem.mount.value,
        board=BoardSpec(**fields), T_target=_numbers(se3.pose_to_rotvec(s.Y)), views=len(kept),
        diversity=round(outcome.diversity.score, 3), reprojection_px=round(s.rms, 4),
        held_out_mm=round(1e3 * h.position, 4), held_out_deg=round(float(np.degrees(h.direction)), 5),
        within_mm=round(1e3 * outcome.radius[0], 4), within_deg=round(float(np.degrees(outcome.radius[1])), 5),
        joints=tuple(_numbers(joints_NQ[i]) for i in kept), hash="",
    )  # fmt: skip
    return dataclasses.replace(made, hash=calibration_hash(pose(outcome), made))


def measured_tcp(outcome: Outcome, T_tcp_target: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """T_tool0_tcp (4, 4) of a tool that holds the target at ``T_tcp_target`` by its make, and the radii (m, rad)
    that hold
    it nine times in ten. For a camera beside the arm only."""
    if outcome.problem.mount is not Mount.EYE_TO_HAND:
        raise UserError(
            "TCP: expected the board on the tool (--mount eye_to_hand), got a camera on the tool; leave --tcp-board out"
        )
    position, direction = outcome.solution.radius(of_target=True)
    lever = float(np.linalg.norm(T_tcp_target[:3, 3]))
    return outcome.solution.Y @ se3.inverse(T_tcp_target), (float(np.hypot(position, lever * direction)), direction)


def pose(outcome: Outcome) -> tuple[float, ...]:
    """The camera's pose as x, y, z, rotation vector: in base, or in tool0 for a camera on the tool."""
    return _numbers(se3.pose_to_rotvec(outcome.solution.X))


def calibration_hash(T: tuple[float, ...], made: CalibrationRecord) -> str:
    """Sixteen hex digits that change with the camera's pose or any field of the record."""
    text = json.dumps([list(T), dataclasses.asdict(dataclasses.replace(made, hash=""))], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tool_version() -> str:
    try:
        return version("prophrl-core")
    except PackageNotFoundError:
        return "0.1.0"


def _numbers(values) -> tuple[float, ...]:
    return tuple(round(float(v), 7) for v in np.ravel(values))
