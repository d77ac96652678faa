"""Figures from the bench's runs."""

import numpy as np
from prophrl_core.figures import Figure, wilson
from scipy.stats import spearmanr

from prophrl_calibration.bench_hand_eye import Run
from prophrl_calibration.check import Verdict

OTHERS = ("check", "latency")  # cases beside those of hand-eye calibration
_KINDS = (("translation", 1e3, "mm"), ("rotation", 180 / np.pi, "deg"))


def best_other(runs: list[Run], kind: int) -> tuple[str, float]:
    """OpenCV's method with the smallest median error, and that error; a failed run counts as infinitely wrong."""
    medians = {
        name: float(np.median([np.inf if r.others[name] is None else r.others[name][kind] for r in runs]))
        for name in runs[0].others
    }
    name = min(medians, key=medians.get)
    return name, medians[name]


def line(case: str, mount: str, runs: list[Run]) -> str:
    """One row for people."""
    words = []
    for kind, (_, factor, unit) in enumerate(_KINDS):
        name, other = best_other(runs, kind)
        ours = np.array([r.error[kind] for r in runs]) * factor
        words.append(
            f"{np.median(ours):.4f} {unit} (worst {ours.max():.4f}, OpenCV {name} {other * factor:.4f}, "
            f"covered {np.mean([r.error[kind] <= r.stated[kind] for r in runs]):.2f})"
        )
    found = sum(set(r.spoiled) <= set(r.dropped) for r in runs)
    return f"{case} {mount}: {', '.join(words)}; outliers all named {found}/{len(runs)}"


def hand_eye(runs: list[Run], seed: int) -> list[Figure]:
    """Errors per mount and case with OpenCV's best beside them, coverage, and how held-out residuals predict errors."""
    figures = []
    groups = dict.fromkeys((r.case, r.mount) for r in runs)
    for case, mount in groups:
        group = [r for r in runs if (r.case, r.mount) == (case, mount)]
        prefix = f"calibration.{mount}" if case == "usual" else f"calibration.{case}.{mount}"
        for kind, (what, factor, unit) in enumerate(_KINDS):
            values = np.array([r.error[kind] for r in group]) * factor
            name, other = best_other(group, kind)
            figures.append(
                Figure(
                    f"{prefix}.{what}_error.median", float(np.median(values)), unit, len(group),
                    float(np.quantile(values, 0.05)), float(np.quantile(values, 0.95)), seed,
                    {"name": f"OpenCV {name}", "value": other * factor},
                )
            )  # fmt: skip
    inside = [r.error[k] <= r.stated[k] for r in runs for k in (0, 1)]
    low, high = wilson(sum(inside), len(inside))
    figures.append(Figure("calibration.coverage90", float(np.mean(inside)), "fraction", len(inside), low, high, seed))
    rank = (
        spearmanr([r.held_out.position for r in runs], [r.error[0] for r in runs]).statistic if len(runs) > 2 else 0.0
    )
    figures.append(Figure("calibration.held_out_rank_correlation", float(rank), "1", len(runs), seed=seed))
    return figures


def check(verdicts: list[tuple[Verdict, Verdict]], seed: int) -> list[Figure]:
    """How often a camera in place raised an alarm and a bumped one did not, of pairs of verdicts."""
    n = len(verdicts)
    counts = {
        "misses": sum(not bumped.bumped for _, bumped in verdicts),
        "false_alarms": sum(v.bumped for v, _ in verdicts),
    }
    return [Figure(f"calibration.check.{name}", float(count), "count", n, seed=seed) for name, count in counts.items()]


def latency(measured: list[tuple[float, float]], seed: int) -> list[Figure]:
    """The largest error of (injected, measured) delays in s, in ms."""
    errors = [1e3 * abs(found - injected) for injected, found in measured]
    return [Figure("calibration.latency_error.max", float(max(errors)), "ms", len(errors), seed=seed)]
