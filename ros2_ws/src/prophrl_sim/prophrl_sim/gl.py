"""Which off-screen OpenGL MuJoCo draws with; it reads ``MUJOCO_GL`` when it is first imported."""

import ctypes.util
import os


def select() -> str:
    """Set ``MUJOCO_GL`` to egl where libEGL exists, else osmesa; a value already set is kept."""
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "osmesa"
    return os.environ["MUJOCO_GL"]
