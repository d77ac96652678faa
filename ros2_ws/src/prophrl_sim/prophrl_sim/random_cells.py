"""Cells that nobody has seen: another camera, objects of other sizes and colours, another table, drawn from a seed.

A world model that has seen many of them adapts to a new one from few episodes (method.md section 9).
"""

import dataclasses

import numpy as np
from prophrl_core import se3
from prophrl_core.camera import look_at
from prophrl_core.cell import CameraSpec, CellSpec
from prophrl_core.task import ObjectSpec, PolicyImage, TaskSpec

from prophrl_sim.appearance import Looks

PIXELS = 192  # of the square picture, which is then averaged down to the policy's
_REACH_ABOVE = 0.22  # m above the table that the camera must still see where objects may stand
_MARGIN = 0.03  # of the picture that stays free around it


@dataclasses.dataclass(frozen=True)
class CellRange:
    """How far a random cell may be from the given one; factors and angles are drawn uniformly."""

    distance: tuple[float, float] = (0.65, 1.05)  # m from the camera to where it looks
    elevation: tuple[float, float] = (0.65, 1.25)  # rad of the camera above the table
    azimuth: tuple[float, float] = (-0.9, 0.9)  # rad from straight in front of the robot
    focal: tuple[float, float] = (1.0, 1.35)  # of the given camera's focal length, relative to its crop
    size: tuple[float, float] = (0.88, 1.14)
    mass: tuple[float, float] = (0.7, 1.4)


def random_cell(
    cell: CellSpec, task: TaskSpec, seed: int, spread: CellRange = CellRange()
) -> tuple[CellSpec, TaskSpec, Looks]:
    """The cell that belongs to ``seed``; its only camera is the task's, square and of ``PIXELS`` pixels."""
    rng = np.random.default_rng([seed, 7])
    objects = {name: _resized(thing, rng, spread) for name, thing in task.objects.items()}
    task = dataclasses.replace(task, objects=objects)
    camera = _camera(cell.camera(task.image.camera), task, rng, spread)
    image = PolicyImage(camera.name, (0, 0, PIXELS, PIXELS), task.image.size)
    looks = Looks(colour=0.5, repaint=seed)
    return (
        dataclasses.replace(cell, name=f"{cell.name}-{seed}", cameras=(camera,)),
        dataclasses.replace(task, image=image),
        looks,
    )


def _resized(thing: ObjectSpec, rng: np.random.Generator, spread: CellRange) -> ObjectSpec:
    """The same object at another scale, its proportions a little off."""
    scale = rng.uniform(*spread.size)
    size = tuple(float(s * scale * rng.uniform(0.96, 1.04)) for s in thing.size)
    return dataclasses.replace(thing, size=size, mass=float(thing.mass * rng.uniform(*spread.mass)))


def _camera(given: CameraSpec, task: TaskSpec, rng: np.random.Generator, spread: CellRange) -> CameraSpec:
    """A camera that sees everywhere an object may stand, from the table up to ``_REACH_ABOVE``.

    Objects without a place of their own (x and y 0) sit in another one.
    """
    placed = [thing for thing in task.objects.values() if any((*thing.x, *thing.y))]
    corners = np.array([[x, y, z] for thing in placed for x in thing.x for y in thing.y for z in (0.0, _REACH_ABOVE)])
    middle = 0.5 * (corners.min(axis=0) + corners.max(axis=0))
    focal = given.fx / task.image.crop[2] * PIXELS
    while True:
        azimuth, elevation = rng.uniform(*spread.azimuth), rng.uniform(*spread.elevation)
        way = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        target = middle * [1, 1, 0.6] + rng.uniform(-0.05, 0.05, 3) * [1, 1, 0.4]
        T = look_at(target + rng.uniform(*spread.distance) * way, target)
        T = T @ se3.pose_from_rotvec(np.array([0, 0, 0, 0, 0, rng.uniform(-0.1, 0.1)]))
        f = focal * rng.uniform(*spread.focal)
        camera = dataclasses.replace(
            given, T_base_camera=tuple(float(v) for v in se3.pose_to_rotvec(T)), width=PIXELS, height=PIXELS,
            fx=float(f), fy=float(f), depth=False, T_tool0_camera=None, intrinsics=None,
        )  # fmt: skip
        if _sees(camera, corners):
            return camera


def _sees(camera: CameraSpec, points_N3: np.ndarray) -> bool:
    """Whether all points (base frame) lie inside the picture, away from its border."""
    inverse = se3.inverse(camera.pose)
    pixels, depth = camera.model.project(points_N3 @ inverse[:3, :3].T + inverse[:3, 3])
    low, high = _MARGIN * PIXELS, (1 - _MARGIN) * PIXELS
    return bool((depth > 0).all() and (pixels > low).all() and (pixels < high).all())
