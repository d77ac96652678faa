"""Text helpers for generated MJCF."""

import numpy as np


def numbers(values) -> str:
    """Space-separated decimal text that reads back as exactly the same floats."""
    return " ".join(repr(float(v)) for v in np.ravel(values))
