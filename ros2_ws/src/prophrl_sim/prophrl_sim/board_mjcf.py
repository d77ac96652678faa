"""MJCF of a printed ChArUco board, for calibration in the simulated cell: black cells in front of a white plate.

The print is geometry, not a texture, because texture filtering moves edges by tenths of a pixel.
"""

import cv2
import numpy as np
from prophrl_core import se3
from prophrl_core.cell import BoardSpec, SimulatedBoard

from prophrl_sim.mjcf_text import numbers

SAMPLES = 4  # per pixel and edge, what software GL offers at most
_MARGIN = 0.6  # squares of white around the print
_PLATE, _IN_FRONT = 0.004, 0.0003  # m


def _runs(cells: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, first, end) of every run of black in a picture of cells."""
    edges = np.diff(np.pad(cells < 128, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    first, end = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [(int(row), int(a), int(b)) for (row, a), (_, b) in zip(first, end)]


def _rectangles(board: BoardSpec) -> np.ndarray:
    """Black rectangles (N, 4) of the print as x0, y0, x1, y1 in metres: the squares, and the markers by their cells."""
    codes = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    charuco = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square, board.marker, codes)
    modules = codes.markerSize + 2
    s, found = board.square, []
    for row in range(board.rows):
        found += [(c * s, row * s, c * s + s, row * s + s) for c in range(row % 2, board.columns, 2)]
    for number, corners in zip(charuco.getIds().ravel(), charuco.getObjPoints()):
        x, y = corners[:, :2].min(0)
        cell = board.marker / modules
        for row, a, b in _runs(codes.generateImageMarker(int(number), modules, borderBits=1)):
            found.append((x + a * cell, y + row * cell, x + b * cell, y + (row + 1) * cell))
    return np.array(found)


def board_assets(board: BoardSpec) -> str:
    """MJCF of materials and the print."""
    x0, y0, x1, y1 = _rectangles(board).T
    z = np.zeros_like(x0)
    corners = np.stack([np.stack(p, -1) for p in ((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z))], axis=1)
    first = 4 * np.arange(len(x0))[:, None]
    faces = np.concatenate([first + [0, 2, 1], first + [0, 3, 2]])
    return f"""
<asset>
  <material name="charuco_black" rgba="0.04 0.04 0.04 1" specular="0"/>
  <material name="charuco_plate" rgba="0.95 0.95 0.95 1" specular="0"/>
  <mesh name="charuco_board" inertia="shell" vertex="{numbers(corners)}" face="{" ".join(map(str, faces.ravel()))}"/>
</asset>"""


def board_body(placed: SimulatedBoard) -> str:
    """The board's body, to nest in the frame it is fixed to; it touches nothing."""
    T, board = se3.pose_from_rotvec(np.array(placed.pose)), placed.board
    quat = np.roll(se3.quat_xyzw(T[:3, :3]), 1)
    width, height, m = board.columns * board.square, board.rows * board.square, _MARGIN * board.square
    return f"""
<body name="charuco_board" pos="{numbers(T[:3, 3])}" quat="{numbers(quat)}" gravcomp="1">
  <geom class="visual" name="charuco_board" type="mesh" mesh="charuco_board" material="charuco_black"/>
  <geom class="visual" type="box" pos="{numbers([width / 2, height / 2, _PLATE / 2 + _IN_FRONT])}"
        size="{numbers([width / 2 + m, height / 2 + m, _PLATE / 2])}" material="charuco_plate"/>
</body>"""
