"""The ChArUco board that is photographed: its description, its geometry and its picture."""

import dataclasses
import functools

import cv2
import numpy as np
from prophrl_core.cell import BoardSpec
from prophrl_core.errors import UserError

DICTIONARIES = (
    "DICT_4X4_50", "DICT_4X4_100", "DICT_4X4_250", "DICT_5X5_50", "DICT_5X5_100", "DICT_5X5_250", "DICT_6X6_50",
    "DICT_6X6_100", "DICT_6X6_250", "DICT_7X7_100", "DICT_ARUCO_ORIGINAL", "DICT_APRILTAG_36h11",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Target(BoardSpec):
    """A ChArUco board that can be printed and found.

    Frame: origin at the board's top left corner, x along the columns, y down, z into the board.
    """

    def __post_init__(self):
        if self.dictionary not in DICTIONARIES:
            raise UserError(
                f"target: expected a dictionary of {', '.join(DICTIONARIES)}, got {self.dictionary!r}; name the "
                f"printed one"
            )
        if not (3 <= self.columns <= 40 and 3 <= self.rows <= 40):
            raise UserError(
                f"target: expected 3 to 40 columns and rows, got {self.columns} x {self.rows}; count the squares"
            )
        if not 0.002 <= self.square <= 0.5:
            raise UserError(
                f"target: expected squares of 0.002 to 0.5 m, got {self.square}; give the measured edge in metres"
            )
        if not 0.3 * self.square <= self.marker < self.square:
            raise UserError(
                f"target: expected markers smaller than the squares of {self.square} m, got {self.marker}; measure both"
            )
        if self.columns * self.rows // 2 > len(self.codes.bytesList):
            raise UserError(
                f"target: {self.dictionary} has {len(self.codes.bytesList)} codes, {self.columns} x {self.rows} "
                f"squares "
                f"need {self.columns * self.rows // 2}; take a larger dictionary"
            )

    @property
    def codes(self) -> cv2.aruco.Dictionary:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))

    @property
    def board(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's description of the same board."""
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, self.codes)

    @property
    def width(self) -> float:
        """Metres along x."""
        return self.columns * self.square

    @property
    def height(self) -> float:
        """Metres along y."""
        return self.rows * self.square

    @property
    def corners_N3(self) -> np.ndarray:
        """The inner chessboard corners (N, 3) m in the target's frame, in the order of their ids."""
        x, y = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1) * self.square

    @property
    def outline_43(self) -> np.ndarray:
        """The four outer corners (4, 3) m, clockwise from the origin."""
        w, h = self.width, self.height
        return np.array([[0, 0, 0], [w, 0, 0], [w, h, 0], [0, h, 0]], dtype=float)

    def picture(self, pixels_per_square: int) -> np.ndarray:
        """The board without margin, (rows * n, columns * n) uint8."""
        return _picture(self, pixels_per_square)

    def scaled(self, square: float) -> "Target":
        """The same print with another measured edge of its squares (m)."""
        return dataclasses.replace(self, square=square, marker=self.marker * square / self.square)


@functools.lru_cache(maxsize=8)
def _picture(target: Target, pixels_per_square: int) -> np.ndarray:
    n = pixels_per_square
    return target.board.generateImage((target.columns * n, target.rows * n), marginSize=0, borderBits=1)
