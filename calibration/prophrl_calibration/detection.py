"""Finds the target's corners in an image, to a few hundredths of a pixel, or says what is wrong with the picture."""

import dataclasses
import enum

import cv2
import numpy as np

from prophrl_calibration.target import DICTIONARIES, Target

MIN_CORNERS = 8
_MIN_MARKERS = 4  # of another dictionary, to name it
_LAYOUT_ERROR = 0.35  # squares by which markers may be away from where the described board has them
_SUBPIX = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)


class Fault(enum.Enum):
    """What is wrong with a picture."""

    NOT_FOUND = "no board in the picture: bring it into view, in focus and in light, nothing in front of it"
    TOO_FEW = "too little of the board is seen: bring all of it into the picture"
    MIRRORED = "the board is mirrored: the camera or the driver flips the picture, or the print is seen from behind"
    WRONG_DICTIONARY = "the board has markers of another dictionary"
    WRONG_LAYOUT = "the board has another number of squares than described: count columns and rows"


class BadPicture(Exception):
    """The picture cannot be used; ``fault`` says why in general, the text in this case."""

    def __init__(self, fault: Fault, detail: str = ""):
        self.fault = fault
        super().__init__(fault.value + (f" ({detail})" if detail else ""))


@dataclasses.dataclass(frozen=True)
class Corners:
    """Corners of one picture: ``ids`` (N,), ``pixels`` (N, 2), centres of pixels at integers."""

    ids: np.ndarray
    pixels: np.ndarray


def detect(image: np.ndarray, target: Target) -> Corners:
    """Corners of ``target`` in a grey (H, W) or RGB (H, W, 3) uint8 picture. Raises BadPicture."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pixels, ids, markers, marker_ids = _detector(target).detectBoard(grey)
    _check_layout(target, markers, marker_ids)
    if ids is None or len(ids) < MIN_CORNERS:
        raise _reason(grey, target, markers)
    ids, pixels = ids.ravel(), pixels.reshape(-1, 2)
    return Corners(ids, _refined(grey, pixels, _square_pixels(pixels, ids, target)))


def _detector(target: Target) -> cv2.aruco.CharucoDetector:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    charuco = cv2.aruco.CharucoParameters()
    charuco.minMarkers = 1  # beside a corner; corners are refined and checked by what follows
    charuco.tryRefineMarkers = True
    return cv2.aruco.CharucoDetector(target.board, charuco, parameters)


def _square_pixels(pixels: np.ndarray, ids: np.ndarray, target: Target) -> float:
    """The shortest edge of a square in the picture."""
    places = {int(i): p for i, p in zip(ids, pixels)}
    across = target.columns - 1
    pairs = [(i, i + 1) for i in places if (i + 1) % across and i + 1 in places]
    pairs += [(i, i + across) for i in places if i + across in places]
    return min((float(np.linalg.norm(places[a] - places[b])) for a, b in pairs), default=8.0)


def _refined(grey: np.ndarray, pixels: np.ndarray, square: float) -> np.ndarray:
    """Corners (N, 2) by the gradients around them, in a window that stays clear of the markers."""
    half = int(np.clip(round(0.1 * square), 2, 8))
    start = np.ascontiguousarray(pixels, np.float32).reshape(-1, 1, 2)
    found = cv2.cornerSubPix(grey, start.copy(), (half, half), (-1, -1), _SUBPIX).reshape(-1, 2)
    moved = np.linalg.norm(found - pixels, axis=1)
    return np.where((moved < 0.5 * half)[:, None], found, pixels).astype(float)


def _check_layout(target: Target, markers, marker_ids) -> None:
    """The markers that were read lie where the described board has them; else it is another board."""
    if marker_ids is None or len(marker_ids) < _MIN_MARKERS:
        return
    described = target.board.getObjPoints()
    known = [
        (m.reshape(4, 2), described[int(i)][:, :2]) for m, i in zip(markers, marker_ids.ravel()) if i < len(described)
    ]
    if len(known) < len(marker_ids):
        raise BadPicture(
            Fault.WRONG_LAYOUT, f"marker {int(marker_ids.max())} is not on a {target.columns} x {target.rows} board"
        )
    seen, on_board = (np.concatenate(v).astype(np.float64) for v in zip(*known))
    H, _ = cv2.findHomography(seen, on_board, cv2.RANSAC, 0.1 * target.square)
    placed = np.full_like(on_board, np.inf) if H is None else cv2.perspectiveTransform(seen[None], H)[0]
    error = float(np.median(np.linalg.norm(placed - on_board, axis=1))) / target.square
    if error > _LAYOUT_ERROR:
        raise BadPicture(Fault.WRONG_LAYOUT, f"{target.columns} x {target.rows} described")


def _count(grey: np.ndarray, dictionary: str) -> int:
    codes = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    _, ids, _ = cv2.aruco.ArucoDetector(codes, cv2.aruco.DetectorParameters()).detectMarkers(grey)
    return 0 if ids is None else len(ids)


def _reason(grey: np.ndarray, target: Target, markers) -> BadPicture:
    if len(markers) >= 2:
        return BadPicture(Fault.TOO_FEW, f"{len(markers)} markers")
    if _count(cv2.flip(grey, 1), target.dictionary) >= _MIN_MARKERS:
        return BadPicture(Fault.MIRRORED)
    counts = {name: _count(grey, name) for name in DICTIONARIES if name != target.dictionary}
    best = max(counts, key=counts.get)
    if counts[best] >= _MIN_MARKERS:
        return BadPicture(Fault.WRONG_DICTIONARY, f"expected {target.dictionary}, read {counts[best]} of {best}")
    return BadPicture(Fault.NOT_FOUND)
