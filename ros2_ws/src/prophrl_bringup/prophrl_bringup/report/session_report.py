"""From the episodes of a session to ``report.html``, ``summary.json``, videos and plots."""

import dataclasses
from pathlib import Path

import numpy as np
from prophrl_core.episode import PARTIAL_SUFFIX
from prophrl_core.episode_reader import read_episode
from prophrl_core.figures import Figure, success_figure, write_figures
from prophrl_core.mp4 import write_mp4

from prophrl_bringup.report.motion_plot import draw_motion
from prophrl_bringup.report.page import trial_row, write_page
from prophrl_bringup.report.trial import Trial, load_trial


@dataclasses.dataclass(frozen=True)
class SessionReport:
    """Where the report lies and what it says."""

    page: Path
    summary: Path
    rows: list[dict[str, str]]
    successes: int
    trials: int


def write_report(out: Path, title: str, camera: str, facts: dict[str, str], seed: int) -> SessionReport:
    """Report on every finished episode under ``out/episodes``, in trial order."""
    folders = [p for p in (out / "episodes").iterdir() if p.is_dir() and not p.name.endswith(PARTIAL_SUFFIX)]
    trials = sorted((load_trial(p) for p in folders), key=lambda t: (t.meta.started, t.meta.trial))
    (out / "media").mkdir(exist_ok=True)
    media = {}
    for trial in trials:
        name = trial.meta.episode_id
        plot, video = f"media/{name}.png", f"media/{name}.mp4"
        draw_motion(out / plot, trial)
        media[name] = {"plot": plot}
        episode = read_episode(trial.folder)
        if camera in episode.cameras and write_mp4(out / video, episode.frames(camera), every=2):
            media[name]["video"] = video
    write_page(out / "report.html", title, facts, trials, media)
    write_figures(out / "summary.json", session_figures(trials, seed))
    successes = sum(t.meta.outcome == "success" for t in trials)
    return SessionReport(out / "report.html", out / "summary.json", [trial_row(t) for t in trials], successes, len(trials))


def session_figures(trials: list[Trial], seed: int) -> list[Figure]:
    """Success, chunk latency and tracking error over all trials."""
    successes = sum(t.meta.outcome == "success" for t in trials)
    figures = [success_figure("demo.success", successes, len(trials), seed)]
    spread = {
        "demo.chunk_latency": ("ms", [t.chunk_latency_ms for t in trials]),
        "demo.tracking_error": ("mm", [t.tracking_error_mm() for t in trials]),
        "demo.trial_duration": ("s", [np.array([t.meta.duration]) for t in trials]),
    }
    for name, (unit, values) in spread.items():
        joined = np.concatenate(values) if values else np.empty(0)
        if len(joined):
            figures.append(
                Figure(f"{name}.p50", float(np.median(joined)), unit, len(joined), float(joined.min()), float(joined.max()), seed)
            )
    figures.append(Figure("demo.envelope_events", float(sum(len(t.envelope_t) for t in trials)), "events", len(trials), seed=seed))
    return figures
