"""An evaluation of Prophets as a page that stands alone, its videos and their posters beside it as files, too."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prophrl_core.mp4 import write_mp4

from prophrl_training.html_page import Page
from prophrl_training.prophet_clips import ProphetEpisode
from prophrl_training.prophet_evaluation import EpisodeScore
from prophrl_training.prophet_pictures import drift_curves, jpeg, side_by_side, strip
from prophrl_training.prophet_scores import METRICS, over_time

PAGE, VIDEOS, STRIP = "report.html", "videos", "strip.jpg"
STRIPS = 4  # episodes on it
_SCORES = """Means over time, then over episodes, with 95 % bootstrap intervals over episodes. The given frame is not
scored. "At the end" is each episode's last imagined frame. EPE and flow are in pixels of the model's frames; cos counts
where the real picture moves by a pixel or more. The autoencoder's row is the real clip, encoded and decoded."""
_DRIFT = """Thin: every frame. Dots: the mean of each chunk and its interval. Later chunks are those of the longer
episodes alone."""
_SENSITIVITY = """The same starts and seeds with the actions of another episode, with another seed, and standing still.
Others' actions must change the prophecy, more than a seed does, and away from the real clip; standing still must show
next to no flow."""
_VIDEOS = "Flow: hue is direction, white is rest. The axes over the prophecy are where its actions send the gripper."


@dataclasses.dataclass(frozen=True)
class Film:
    """One prophecy to show."""

    number: int  # of the episode
    episode: ProphetEpisode
    score: EpisodeScore
    prophecy_FHW3: np.ndarray


def shown_episodes(episodes: Sequence[ProphetEpisode], count: int) -> list[int]:
    """Numbers of ``count`` episodes to film, the outcomes in turn."""
    by_outcome: dict[str, list[int]] = {}
    for i, episode in enumerate(episodes):
        by_outcome.setdefault(episode.labels.outcome, []).append(i)
    turns = sorted((turn, i) for numbers in by_outcome.values() for turn, i in enumerate(numbers))
    return [i for _, i in turns[:count]]


def _filmed(folder: Path, film: Film) -> tuple[bytes, bytes]:
    """The film and its poster, the last frame, also written to ``folder``."""
    frames = side_by_side(film.episode, film.prophecy_FHW3)
    name = f"{film.number:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', film.episode.name)}"
    path = folder / f"{name}.mp4"
    write_mp4(path, ((f / film.episode.rate_hz, frame) for f, frame in enumerate(frames)))
    poster = jpeg(frames[-1])
    path.with_suffix(".jpg").write_bytes(poster)
    return path.read_bytes(), poster


def write_report(
    folder: Path,
    title: str,
    facts: dict[str, str],
    table: dict[str, list[EpisodeScore]],
    score_rows: list[dict[str, str]],
    sensitivity_rows: list[dict[str, str]],
    films: Sequence[Film],
    chunk_steps: int,
    seed: int,
) -> Path:
    """Write PAGE, the videos and STRIP to ``folder``; returns the page."""
    e = html.escape
    page = Page(title)
    page.add("<dl>" + "".join(f"<dt>{e(name)}</dt><dd>{e(text)}</dd>" for name, text in facts.items()) + "</dl>")
    page.add("<h2>Fidelity</h2>")
    page.table(score_rows)
    page.add(f"<p>{_SCORES}</p><h2>Drift</h2>")
    page.media("image/png", drift_curves(table, chunk_steps, seed), "metrics over the frames ahead")
    page.add(f"<p>{_DRIFT}</p><h2>Does it listen?</h2>")
    page.table(sensitivity_rows)
    page.add(f"<p>{_SENSITIVITY}</p>")
    if films:
        page.add(f"<h2>Prophecies</h2><p>{_VIDEOS}</p>")
        (folder / VIDEOS).mkdir(parents=True, exist_ok=True)
        shown = jpeg(strip([(film.episode.frames_FHW3, film.prophecy_FHW3) for film in films[:STRIPS]]))
        (folder / STRIP).write_bytes(shown)
        page.media("image/jpeg", shown, "each pair of rows: what the camera saw, what Prophet foretold")
    for film in films:
        outcome = e(film.episode.labels.outcome)
        page.add(f'<section><h3>{e(film.episode.name)} <span class="{outcome}">{outcome}</span></h3>')
        values = ((m, unit, over_time(film.score.values[m])) for m, unit in METRICS.items())
        page.add("<p>" + ", ".join(f"{m} {v:.4g} {unit}" for m, unit, v in values if np.isfinite(v)) + "</p>")
        video, poster = _filmed(folder / VIDEOS, film)
        page.media("video/mp4", video, film.episode.name, poster)
        page.add("</section>")
    page.write(folder / PAGE)
    return folder / PAGE
