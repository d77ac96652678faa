"""Statistics of features the way LeRobot stores them: moments, extremes and quantiles, per value or colour channel.

Rows with a NaN (``action.proposed`` where nothing was proposed) do not count; with none left, ``count`` is 0 and the
rest 0, so that a file never holds what is not a number.
"""

from __future__ import annotations

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
_SMALL_SIDE = 150  # pixels; larger pictures are thinned to about this before they are counted


def of_column(values_ND: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics over rows: each of a row's shape, of scalars (1,), ``count`` (1,)."""
    shape = values_ND.shape[1:] or (1,)
    rows_ND = values_ND.reshape(len(values_ND), -1).astype(np.float64)
    rows_ND = rows_ND[np.isfinite(rows_ND).all(1)]
    count = len(rows_ND)
    if count == 0:
        rows_ND = np.zeros((1, rows_ND.shape[1]))
    out = {"min": rows_ND.min(0), "max": rows_ND.max(0), "mean": rows_ND.mean(0), "std": rows_ND.std(0)}
    out |= dict(zip(QUANTILES, np.quantile(rows_ND, list(QUANTILES.values()), axis=0), strict=True))
    return {name: values.reshape(shape) for name, values in out.items()} | {"count": np.array([count])}


def sampled_steps(length: int) -> np.ndarray:
    """Rows whose pictures are counted: all up to 100, then their number to the power 0.75 (LeRobot's rule)."""
    count = max(min(100, length), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, count)).astype(int)


def thinned(image_HW3: np.ndarray) -> np.ndarray:
    """Every n-th pixel of a large picture."""
    side = max(image_HW3.shape[:2])
    step = 1 if side < 2 * _SMALL_SIDE else side // _SMALL_SIDE
    return image_HW3[::step, ::step]


def of_pictures(samples_KHW3: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics per channel of thinned uint8 pictures, values in [0, 1], shape (3, 1, 1)."""
    histogram_3V = np.stack([np.bincount(samples_KHW3[..., c].ravel(), minlength=256) for c in range(3)])
    total, levels_V = histogram_3V[0].sum(), np.arange(256) / 255.0
    mean_3 = histogram_3V @ levels_V / total
    std_3 = np.sqrt(np.maximum(histogram_3V @ levels_V**2 / total - mean_3**2, 0.0))
    cumulated_3V = np.cumsum(histogram_3V, axis=1)
    at = {"min": 1 / total, "max": 1.0} | QUANTILES
    out = {"mean": mean_3, "std": std_3}
    for name, share in at.items():
        out[name] = levels_V[[int(np.searchsorted(row, max(1, np.ceil(share * total)))) for row in cumulated_3V]]
    return {name: out[name].reshape(3, 1, 1) for name in ("min", "max", "mean", "std")} | {
        "count": np.array([len(samples_KHW3)]),
        **{name: out[name].reshape(3, 1, 1) for name in QUANTILES},
    }


def listed(stats: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, list]]:
    """As ``meta/stats.json`` holds them."""
    return {key: {n: entry[n].tolist() for n in NAMES if n in entry} for key, entry in sorted(stats.items())}
