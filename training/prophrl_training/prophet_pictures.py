"""Pictures of prophecies: real, imagined, its optical flow and its action frames side by side; curves of the drift."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import cv2
import numpy as np
from prophrl_core import action
from prophrl_world_model.video_metrics import MOVING, optical_flow

from prophrl_training.prophet_clips import ProphetEpisode
from prophrl_training.prophet_evaluation import EpisodeScore
from prophrl_training.prophet_scores import METRICS, Mean, by_frame, drift

SHOWN_HEIGHT = 256  # pixels of a panel at least
CAPTION = 26  # pixels above the panels
WHEEL = 40  # pixels of the legend of the flow
PANELS = ("real", "prophecy", "flow of the prophecy", "prophecy and actions")


def flow_colours(flow_HW2: np.ndarray, longest: float) -> np.ndarray:
    """Flow (..., H, W, 2) as uint8 (..., H, W, 3): hue is its direction, white is rest, full colour ``longest`` px."""
    length = np.linalg.norm(flow_HW2, axis=-1)
    hue = (np.arctan2(flow_HW2[..., 1], flow_HW2[..., 0]) / (2 * np.pi) % 1.0) * 180
    saturation = np.minimum(length / longest, 1.0) * 255
    hsv = np.stack([hue % 180, saturation, np.full_like(hue, 255)], axis=-1).astype(np.uint8)
    return cv2.cvtColor(hsv.reshape(-1, hsv.shape[-2], 3), cv2.COLOR_HSV2RGB).reshape(hsv.shape)


def colour_wheel(size: int) -> np.ndarray:
    """The legend (size, size, 3) of ``flow_colours``: the colour at a place is that of flow from the centre to it."""
    at = (np.arange(size) + 0.5) / size * 2 - 1
    flow = np.stack(np.meshgrid(at, at), axis=-1)
    picture = flow_colours(flow, 1.0)
    picture[np.linalg.norm(flow, axis=-1) > 1] = 255
    return picture


def _larger(frames_FHW3: np.ndarray, scale: int) -> np.ndarray:
    return frames_FHW3.repeat(scale, axis=1).repeat(scale, axis=2)


def side_by_side(episode: ProphetEpisode, prophecy_FHW3: np.ndarray) -> np.ndarray:
    """The four PANELS under a caption, uint8 (F, height, width, 3), each pixel of the model a square of pixels.

    The action frames lie over the prophecy, so that one sees whether its gripper goes where the actions send it.
    """
    F, H, W = prophecy_FHW3.shape[:3]
    scale = -(-SHOWN_HEIGHT // H)
    real = episode.frames_FHW3[:F]
    longest = max(MOVING, float(np.percentile(np.linalg.norm(optical_flow(real), axis=-1), 99.9)))
    flow = flow_colours(optical_flow(prophecy_FHW3), longest)
    flow = _larger(np.concatenate([np.full_like(flow[:1], 255), flow]), scale)
    flow[:, -WHEEL - 4 : -4, -WHEEL - 4 : -4] = colour_wheel(WHEEL)
    poses, openness = action.integrate(episode.T_base_tcp_F44[0], episode.actions_K7[: F - 1])
    poses = np.concatenate([episode.T_base_tcp_F44[:1], poses])
    opened = np.append(episode.openness_F[0], openness)
    view = episode.view
    large = dataclasses.replace(view, camera=view.camera.scaled(W * scale, H * scale))
    drawn = large.action_frames(poses[None], opened[None])[0].numpy()
    imagined = _larger(prophecy_FHW3, scale)
    followed = np.where(drawn.max(axis=-1, keepdims=True) > 0, drawn // 4 * 3 + imagined // 4, imagined)
    panels = np.concatenate([_larger(real, scale), imagined, flow, followed], axis=2)
    captions = np.full((F, CAPTION, panels.shape[2], 3), 24, np.uint8)
    for f, caption in enumerate(captions):
        for i, name in enumerate(PANELS):
            text = f"{name} {f}/{F - 1}" if i == 0 else name
            at = (i * W * scale + 6, CAPTION - 8)
            cv2.putText(caption, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([captions, panels], axis=1)


def strip(pairs: Sequence[tuple[np.ndarray, np.ndarray]], times: int = 9) -> np.ndarray:
    """Two rows for each (real, prophecy), both (F, H, W, 3): ``times`` moments from the given frame to the last."""
    rows = []
    for real_FHW3, prophecy_FHW3 in pairs:
        at = np.linspace(0, len(prophecy_FHW3) - 1, times).round().astype(int)
        scale = -(-SHOWN_HEIGHT // (2 * prophecy_FHW3.shape[1]))
        rows += [np.concatenate(list(_larger(clip[at], scale)), axis=1) for clip in (real_FHW3, prophecy_FHW3)]
        rows.append(np.full_like(rows[-1][:6], 255))
    return np.concatenate(rows[:-1])


def jpeg(picture_HW3: np.ndarray) -> bytes:
    """One picture, packed."""
    done, packed = cv2.imencode(".jpg", cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise RuntimeError(f"no JPEG of {picture_HW3.shape}")
    return packed.tobytes()


def drift_curves(table: dict[str, list[EpisodeScore]], chunk_steps: int, seed: int) -> bytes:
    """PNG: each metric over the frames ahead, thin by frame, and the mean of every chunk with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axes, (metric, unit) in zip(figure.subplots(1, len(METRICS)), METRICS.items(), strict=True):
        for i, (what, scores) in enumerate(table.items()):
            curve = by_frame(scores, metric)
            axes.plot(np.arange(1, len(curve) + 1), curve, lw=0.7, alpha=0.5, color=f"C{i}")
            _chunk_means(axes, drift(scores, metric, chunk_steps, seed), chunk_steps, f"C{i}", what)
        axes.set(title=f"{metric} [{unit}]", xlabel="frames ahead")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": ""})
    return buffer.getvalue()


def _chunk_means(axes, found: Sequence[Mean], chunk_steps: int, colour: str, label: str) -> None:
    middle = (np.arange(len(found)) + 0.5) * chunk_steps + 0.5
    value = np.array([m.value for m in found])
    below = [0.0 if m.low is None else m.value - m.low for m in found]
    above = [0.0 if m.high is None else m.high - m.value for m in found]
    axes.errorbar(
        middle, value, np.maximum([below, above], 0.0), fmt="o-", ms=3, lw=1.4, capsize=2, color=colour, label=label
    )
