"""Action frames: where the end effectors will be, drawn on black as the camera would see them (method.md section 2).

Per arm a disc at the TCP, whose radius falls with depth and whose colour tells the openness, and the three axes of the
TCP frame in red, green and blue. Shapes are evaluated in closed form at every pixel centre, so that what leaves the
image is cut off exactly at its border; what lies behind the camera is not drawn.

Dimensions: F frame, P primitive (the four of each arm), H W pixels.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from torch import Tensor

from prophrl_world_model.config import TEMPORAL_STRIDE

FRAMES_AT_ONCE = 64


def folded(frames_BFHW3: Tensor, fold: int) -> Tensor:
    """Action frames (B, 1 + 4 n, fold h, fold w, 3) uint8, drawn small, as channels (B, 12 fold^2, 1 + n, h, w).

    Each latent's place and time holds its own pixels; the first frame, alone in its latent, is repeated.
    """
    first = frames_BFHW3[:, :1].expand(-1, TEMPORAL_STRIDE - 1, -1, -1, -1)
    x = torch.cat([first, frames_BFHW3], dim=1).float() / 255
    x = x.unflatten(1, (-1, TEMPORAL_STRIDE)).unflatten(3, (-1, fold)).unflatten(5, (-1, fold))
    return x.permute(0, 7, 2, 4, 6, 1, 3, 5).flatten(1, 4)  # B T s h a w b 3 -> B (3 s a b) T h w


@dataclasses.dataclass(frozen=True)
class ActionFrameStyle:
    """Sizes in metres, so that they shrink with depth; colours as red, green, blue in [0, 1]."""

    axis_length: float = 0.08
    axis_width: float = 0.008
    disc_radius: float = 0.02
    near: float = 0.02  # nearer than this to the camera's plane nothing is drawn
    axes: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    closed: tuple[float, float, float] = (1.0, 1.0, 0.0)
    open: tuple[float, float, float] = (0.0, 1.0, 1.0)
    further_arms: float = 0.6  # brightness of the second arm


@dataclasses.dataclass(frozen=True)
class _Primitives:
    """Capsules in pixels; a disc is one without length. ``visible`` is False behind the camera."""

    start_FP2: np.ndarray
    end_FP2: np.ndarray
    radius_FP: np.ndarray  # pixels
    depth_FP: np.ndarray  # m
    colour_FP3: np.ndarray
    visible_FP: np.ndarray


def _cut_at(near: float, a_F3: np.ndarray, b_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of segments a-b (optical frame) in front of the plane z = near; unchanged where none is."""
    span = b_F3[:, 2] - a_F3[:, 2]
    at = np.divide(near - a_F3[:, 2], span, out=np.zeros(len(span)), where=span != 0)[:, None]
    crossing = a_F3 + at * (b_F3 - a_F3)
    a_behind, b_behind = (a_F3[:, 2] < near)[:, None], (b_F3[:, 2] < near)[:, None]
    return np.where(a_behind & ~b_behind, crossing, a_F3), np.where(b_behind & ~a_behind, crossing, b_F3)


def _primitives(camera: CameraModel, T_camera_tcp_F44, openness_F, style: ActionFrameStyle, brightness: float):
    """The disc and axes of one arm in F frames."""
    origin = T_camera_tcp_F44[:, :3, 3]
    tips = [origin + style.axis_length * T_camera_tcp_F44[:, :3, axis] for axis in range(3)]
    openness = np.clip(openness_F, 0.0, 1.0)[:, None]
    disc_colour = (1 - openness) * np.array(style.closed) + openness * np.array(style.open)
    colours = [disc_colour] + [np.broadcast_to(np.array(c), (len(origin), 3)) for c in style.axes]
    starts, ends = zip(*[_cut_at(style.near, origin, tip) for tip in [origin, *tips]], strict=True)
    start, end = np.stack(starts, axis=1), np.stack(ends, axis=1)
    start_px, end_px = camera.project(start)[0], camera.project(end)[0]
    depth = (start[..., 2] + end[..., 2]) / 2
    visible = (np.minimum(start[..., 2], end[..., 2]) >= style.near - 1e-9) & np.isfinite(start_px + end_px).all(-1)
    width = np.array([style.disc_radius] + [style.axis_width / 2] * 3)
    radius = np.where(visible, 0.5 * (camera.fx + camera.fy) * width / np.where(visible, depth, 1.0), 0.0)
    return _Primitives(
        np.where(visible[..., None], start_px, 0.0), np.where(visible[..., None], end_px, 0.0), radius, depth,
        brightness * np.stack(colours, axis=1), visible,
    )  # fmt: skip


def _merged(parts: list[_Primitives]) -> _Primitives:
    fields = [f.name for f in dataclasses.fields(_Primitives)]
    return _Primitives(*[np.concatenate([getattr(p, f) for p in parts], axis=1) for f in fields])


def _coverage(start_F2: Tensor, end_F2: Tensor, radius_F: Tensor, height: int, width: int) -> Tensor:
    """How much of each pixel (F, H, W) a capsule covers: 1 inside, 0 outside, linear over one pixel at the edge."""
    v, u = torch.meshgrid(
        torch.arange(height, device=start_F2.device, dtype=torch.float32),
        torch.arange(width, device=start_F2.device, dtype=torch.float32), indexing="ij",
    )  # fmt: skip
    along = end_F2 - start_F2
    squared = along.square().sum(-1).clamp_min(1e-12)[:, None, None]
    du, dv = u - start_F2[:, 0, None, None], v - start_F2[:, 1, None, None]
    ax, ay = along[:, 0, None, None], along[:, 1, None, None]
    at = ((du * ax + dv * ay) / squared).clamp_(0.0, 1.0)
    distance = torch.hypot(du - at * ax, dv - at * ay)
    # A thin capsule covers no more of a pixel than its own width.
    thickness = (2 * radius_F).clamp_max(1.0)[:, None, None]
    return (radius_F[:, None, None] + 0.5 - distance).clamp_(min=0.0).minimum(thickness)


def _paint(primitives: _Primitives, height: int, width: int, device) -> Tensor:
    """Frames (F, H, W, 3) in [0, 1], the far primitives first."""
    order = np.argsort(-primitives.depth_FP, axis=1, kind="stable")
    take = lambda a: torch.from_numpy(  # noqa: E731
        np.take_along_axis(a, order.reshape(*order.shape, *[1] * (a.ndim - 2)), axis=1).astype(np.float32)
    ).to(device)
    start, end, radius, colour = (
        take(a) for a in (primitives.start_FP2, primitives.end_FP2, primitives.radius_FP, primitives.colour_FP3)
    )
    visible = take(primitives.visible_FP)
    frames = torch.zeros((len(order), height, width, 3), device=device)
    for p in range(order.shape[1]):
        alpha = _coverage(start[:, p], end[:, p], radius[:, p], height, width) * visible[:, p, None, None]
        frames.lerp_(colour[:, p, None, None, :].expand_as(frames), alpha[..., None])
    return frames


def render(
    camera: CameraModel,
    T_base_camera: np.ndarray,
    T_base_tcp_FA44: np.ndarray,
    openness_FA: np.ndarray,
    style: ActionFrameStyle = ActionFrameStyle(),
    device: torch.device | str = "cpu",
) -> Tensor:
    """Action frames (F, H, W, 3), uint8, of A arms' TCP poses (F, A, 4, 4) in the base and openness (F, A).

    ``camera`` has the size of the pictures to draw; ``T_base_camera`` (4, 4) is its optical frame. Raises ValueError
    when a pose is not finite.
    """
    poses = np.asarray(T_base_tcp_FA44, dtype=float)
    openness = np.asarray(openness_FA, dtype=float)
    if poses.ndim != 4 or poses.shape[2:] != (4, 4) or openness.shape != poses.shape[:2]:
        raise ValueError(f"expected poses (F, A, 4, 4) and openness (F, A), got {poses.shape} and {openness.shape}")
    if not (np.isfinite(poses).all() and np.isfinite(openness).all()):
        raise ValueError("expected finite poses and openness, got NaN or infinity")
    T_camera_base = se3.inverse(np.asarray(T_base_camera, dtype=float))
    frames = []
    for first in range(0, len(poses), FRAMES_AT_ONCE):
        part = slice(first, first + FRAMES_AT_ONCE)
        arms = [
            _primitives(
                camera, T_camera_base @ poses[part, arm], openness[part, arm], style,
                1.0 if arm == 0 else style.further_arms,
            )
            for arm in range(poses.shape[1])
        ]  # fmt: skip
        painted = _paint(_merged(arms), camera.height, camera.width, device)
        frames.append((painted * 255).round_().to(torch.uint8))
    return torch.cat(frames) if frames else torch.zeros((0, camera.height, camera.width, 3), dtype=torch.uint8)
