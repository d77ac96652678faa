"""One pass over a camera's pictures: brightness, stillness, and small pictures to show."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

SHOWN_WIDTH = 240
SHOWN_PERIOD_S = 0.1
MOST_SHOWN = 200
_PROBE = (48, 36)
CUT, CUT_TIMES = 3.0, 3.0  # grey levels, and times the next strongest change
SAME = 0.02  # grey levels of mean difference below which two pictures are one


@dataclasses.dataclass(frozen=True)
class Film:
    """``change`` (N,) is the mean difference, grey levels, from the picture before; 0 for the first."""

    camera: str
    t: np.ndarray
    brightness: np.ndarray  # mean grey level 0..255
    contrast: np.ndarray  # standard deviation of the grey levels
    change: np.ndarray
    size: tuple[int, int]  # width, height
    shown_t: np.ndarray
    shown: list[np.ndarray]  # small RGB pictures

    def frozen(self) -> list[tuple[float, float]]:
        """(start, end) of runs of equal pictures, longest first."""
        runs, start = [], None
        for i in range(1, len(self.change) + 1):
            if i < len(self.change) and self.change[i] < SAME:
                start = i - 1 if start is None else start
            elif start is not None:
                runs.append((float(self.t[start]), float(self.t[i - 1])))
                start = None
        return sorted(runs, key=lambda run: run[0] - run[1])

    def cut(self) -> tuple[float, float] | None:
        """(time, grey levels) of the strongest change when it is one of another kind than the rest: another scene."""
        if len(self.change) < 4:
            return None
        i = int(np.argmax(self.change))
        rest = np.delete(self.change[1:], i - 1)
        if self.change[i] < CUT or self.change[i] < CUT_TIMES * float(rest.max()):
            return None
        return float(self.t[i]), float(self.change[i])


def watch(camera: str, frames: Iterator[tuple[float, np.ndarray]]) -> Film:
    """Read every picture once; UserError of the reader passes through."""
    t, brightness, contrast, change, shown_t, shown, before, size = [], [], [], [], [], [], None, (0, 0)
    for now, picture in frames:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        probe = cv2.resize(grey, _PROBE, interpolation=cv2.INTER_AREA).astype(np.float32)
        change.append(0.0 if before is None else float(np.abs(probe - before).mean()))
        before, size = probe, (picture.shape[1], picture.shape[0])
        t.append(now)
        brightness.append(float(probe.mean()))
        contrast.append(float(grey.std()))
        if len(shown) < MOST_SHOWN and (not shown_t or now - shown_t[-1] >= SHOWN_PERIOD_S - 1e-6):
            height = max(2, round(SHOWN_WIDTH * size[1] / size[0]) // 2 * 2)
            shown.append(cv2.resize(picture, (SHOWN_WIDTH, height), interpolation=cv2.INTER_AREA))
            shown_t.append(now)
    return Film(
        camera, np.array(t), np.array(brightness), np.array(contrast), np.array(change), size, np.array(shown_t), shown
    )
