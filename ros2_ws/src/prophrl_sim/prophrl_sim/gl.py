"""Which off-screen OpenGL MuJoCo draws with; it reads ``MUJOCO_GL`` when it is first imported."""

import ctypes.util
import os
import sys

_BACKENDS = ("egl", "osmesa")


def select() -> None:
    """Set ``MUJOCO_GL`` to egl where libEGL exists, else osmesa, unless it is set or MuJoCo is already imported."""
    if "MUJOCO_GL" not in os.environ and "mujoco" not in sys.modules:
        os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "osmesa"


def require() -> None:
    """Raise when pictures would abort the process because MuJoCo chose a windowed GL."""
    if os.environ.get("MUJOCO_GL") not in _BACKENDS:
        raise RuntimeError(
            f"drawing off screen: expected MUJOCO_GL to be {' or '.join(_BACKENDS)} before MuJoCo was imported, "
            f"got {os.environ.get('MUJOCO_GL')!r}; import prophrl_sim before mujoco"
        )
