"""Colour and depth of the cell's cameras from one pass of the renderer: half the work of drawing each."""

import mujoco
import numpy as np
from prophrl_core.cell import CameraSpec

from prophrl_sim import gl
from prophrl_sim.scene import Scene

_MAX_GEOMS = 2000


class CameraRenderer:
    """Draws the present state of ``scene`` off screen; close it, or use it in a ``with``."""

    def __init__(self, scene: Scene):
        gl.require()
        model, size = scene.model, scene.model.vis.global_
        self._scene = scene
        self._gl = mujoco.GLContext(size.offwidth, size.offheight)
        self._gl.make_current()
        self._drawing = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
        self._option = mujoco.MjvOption()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        near, far = (model.stat.extent * z for z in (model.vis.map.znear, model.vis.map.zfar))
        # With zero at the far plane, the depth buffer b at distance z is near (far - z) / (z (far - near)).
        self._numerator, self._offset = near * far / (far - near), near / (far - near)

    def draw(self, camera: CameraSpec) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) uint8 RGB and distance along the optical axis (H, W) float32 m."""
        model, data = self._scene.model, self._scene.data
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera(camera.name).id
        mujoco.mjv_updateScene(model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL, self._drawing)
        area = mujoco.MjrRect(0, 0, camera.width, camera.height)
        mujoco.mjr_render(area, self._drawing, self._context)
        colour = np.empty((camera.height, camera.width, 3), np.uint8)
        depth = np.empty((camera.height, camera.width), np.float32)
        mujoco.mjr_readPixels(colour, depth, area, self._context)
        return colour[::-1], np.float32(self._numerator) / (depth[::-1] + np.float32(self._offset))

    def close(self) -> None:
        """Free the GL context; safe to call twice."""
        if self._gl is not None:
            self._context.free()
            self._gl.free()
            self._gl = None

    def __enter__(self) -> "CameraRenderer":
        return self

    def __exit__(self, *exception) -> None:
        self.close()
