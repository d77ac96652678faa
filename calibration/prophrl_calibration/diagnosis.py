"""What is wrong when views and arm poses do not go together: units, board size, intrinsics, cameras mixed up."""

import numpy as np
from prophrl_core import se3
from prophrl_core.cell import CellSpec
from prophrl_core.errors import UserError

from prophrl_calibration import closed_form, refine
from prophrl_calibration.views import Problem, target_poses

_FITS = 0.5  # px of reprojection error below which nothing is suspected
_SIZE_OFF, _FOCUS_OFF = 0.004, 0.006  # relative
_BETTER = 0.6  # an explanation has to bring the error down to this share
_NEAR_M, _NEAR_RAD = 0.10, 0.25  # what counts as another camera's place
_UNITS = {1000.0: "millimetres", 25.4: "inches", 0.001: "kilometres", 100.0: "centimetres", 10.0: "decimetres"}


def scale_of_arm(problem: Problem) -> float:
    """How much longer the arm's translations are than the board's squares allow: 1 when both are in metres.

    Linear in the two translations and the scale once rotations are known (M Y = X T with T's translation scaled).
    """
    M, T = problem.M_N44, target_poses(problem)
    found = [closed_form.solve(name, M, T) for name in ("park", "shah")]
    rotation = next((f[0][:3, :3] for f in found if f is not None), None)
    if rotation is None:
        return 1.0
    n = len(M)
    A = np.zeros((3 * n, 7))
    for i in range(n):
        rows = slice(3 * i, 3 * i + 3)
        A[rows, :3], A[rows, 3:6], A[rows, 6] = M[i, :3, :3], -np.eye(3), -rotation @ T[i, :3, 3]
    solved, *_ = np.linalg.lstsq(A, -M[:, :3, 3].ravel(), rcond=None)
    return float(solved[6])


def check_units(problem: Problem) -> None:
    """UserError when board and arm are measured in different units (before anything is solved)."""
    scale = scale_of_arm(problem)
    for factor, unit in _UNITS.items():
        if factor / 1.5 < abs(scale) < factor * 1.5:
            raise UserError(
                f"units: expected arm poses and the board's squares in metres, the arm moves {abs(scale):.3g} times "
                f"as far as "
                f"the pictures show; one of them is in {unit}, give both in metres"
            )


def check_fit(problem: Problem, solution: refine.Solution) -> None:
    """UserError that names the most likely reason when the solution does not explain the pictures."""
    guess = (solution.X, solution.Y)
    kept = problem.subset([i for i in range(len(problem.views)) if i not in solution.outliers])
    sized = refine.solve(kept, refine.Free(scale=True), guess)
    off = sized.scale - 1.0
    if abs(off) > _SIZE_OFF and sized.rms < max(_BETTER * solution.rms, 0.3 * _FITS):
        square = problem.target.square * sized.scale
        raise UserError(
            f"board: expected squares of {1e3 * problem.target.square:.2f} mm as described, the arm's motion says "
            f"{1e3 * square:.2f} mm; measure the printed board and give --square"
        )
    focused = refine.solve(kept, refine.Free(intrinsics=True), guess)
    change = focused.camera.fx / problem.camera.fx - 1.0
    shifted = np.hypot(focused.camera.cx - problem.camera.cx, focused.camera.cy - problem.camera.cy)
    stale = abs(change) > _FOCUS_OFF or shifted > 4.0
    if stale and focused.rms < _BETTER * solution.rms:
        raise UserError(
            f"intrinsics: expected those in use to explain the pictures, they leave {solution.rms:.2f} px; focal "
            f"length "
            f"{100 * change:+.1f} % and principal point {shifted:.0f} px off explain them; run: prophrl calibrate "
            f"intrinsics"
        )
    if solution.rms > 4 * _FITS or len(solution.outliers) > 0.3 * len(problem.views):
        names = ", ".join(problem.views[i].name for i in solution.outliers) or "none alone"
        raise UserError(
            f"fit: expected pictures and arm poses to agree within {4 * _FITS:.0f} px, {solution.rms:.1f} px remain "
            f"(worst: "
            f"{names}); fasten board and camera, check the TCP and take the pictures again"
        )


def check_place(cell: CellSpec, camera: str, T_base_camera: np.ndarray) -> None:
    """UserError when the pose that was found is that of another camera of the cell."""
    own = cell.camera(camera)
    for other in cell.cameras:
        if other.name != camera and _near(T_base_camera, other.pose) and not _near(T_base_camera, own.pose):
            raise UserError(
                f"camera {camera}: expected near its described place, found where {other.name} is described; the "
                f"cameras are "
                "swapped: correct the serial numbers (or the ports) in the cell description"
            )


def _near(T: np.ndarray, described: np.ndarray) -> bool:
    return bool(
        np.linalg.norm(T[:3, 3] - described[:3, 3]) < _NEAR_M
        and se3.rotation_angle(T[:3, :3].T @ described[:3, :3]) < _NEAR_RAD
    )


def still(stamps_N: np.ndarray, joints_NQ: np.ndarray, begin: float, end: float, most: float = 2e-4) -> bool:
    """Whether the arm stood still from ``begin`` to ``end`` (s): samples all through, no joint moved by ``most``
    rad.
    """
    during = (stamps_N >= begin) & (stamps_N <= end)
    if during.sum() < 3 or stamps_N[during][0] > begin + 0.1 or stamps_N[during][-1] < end - 0.1:
        return False
    return bool(np.ptp(joints_NQ[during], axis=0).max() <= most)
