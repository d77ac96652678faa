"""Pictures of a scene: colour and depth of the cell's cameras, off screen."""

import mujoco
import numpy as np

from prophrl_sim import gl
from prophrl_sim.scene import Scene


class Renderer:
    """Draws the current state of ``scene``; close it, or use it in a ``with``."""

    def __init__(self, scene: Scene):
        gl.require()
        self.scene = scene
        self._by_size: dict[tuple[int, int], mujoco.Renderer] = {}

    def _renderer(self, camera: str) -> mujoco.Renderer:
        k = self.scene.cell.camera(camera)
        size = (k.height, k.width)
        if size not in self._by_size:
            self._by_size[size] = mujoco.Renderer(self.scene.model, *size)
        return self._by_size[size]

    def colour(self, camera: str) -> np.ndarray:
        """RGB image (H, W, 3) uint8 at the camera's own resolution."""
        r = self._renderer(camera)
        r.update_scene(self.scene.data, camera)
        return r.render()

    def depth(self, camera: str) -> np.ndarray:
        """Distance along the optical axis, (H, W) float32 m."""
        r = self._renderer(camera)
        r.update_scene(self.scene.data, camera)
        r.enable_depth_rendering()
        try:
            return r.render()
        finally:
            r.disable_depth_rendering()

    def close(self) -> None:
        """Free the GL contexts; safe to call twice."""
        for r in self._by_size.values():
            r.close()
        self._by_size.clear()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *exception) -> None:
        self.close()
