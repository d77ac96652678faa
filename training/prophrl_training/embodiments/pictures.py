"""Foreign pictures the right way up."""

import numpy as np


def upright(picture: np.ndarray, stored: str) -> np.ndarray:
    """The picture (H, W, ...) as a person would see it; ``stored`` is upright, upside_down or mirrored."""
    if stored == "upside_down":
        return picture[::-1]
    return picture[:, ::-1] if stored == "mirrored" else picture
