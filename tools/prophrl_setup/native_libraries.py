"""Native libraries that Python packages load: off-screen OpenGL for MuJoCo, libusb for librealsense.

Where the system has none, a PyPI package that carries the library is linked into ``.venv/prophrl/lib``, which is on
LD_LIBRARY_PATH of everything that ``./prophrl`` starts.
"""

import os
import subprocess
from pathlib import Path

import python_environment
from progress import Progress, SetupError
from ros_environment import Ros, site_packages

RENDER_ONE_FRAME = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    renderer.render()
"""


def _library_folder(venv: Path) -> Path:
    folder = venv / "prophrl" / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _python_says_yes(venv: Path, code: str, **variables: str) -> bool:
    environment = os.environ | variables | {"LD_LIBRARY_PATH": str(_library_folder(venv)), "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
    run = subprocess.run([str(venv / "bin" / "python"), "-c", code], env=environment, capture_output=True, timeout=120)
    return run.returncode == 0


def working_gl(venv: Path) -> str | None:
    """The MUJOCO_GL value that renders a frame on this machine."""
    return next((gl for gl in ("egl", "osmesa") if _python_says_yes(venv, RENDER_ONE_FRAME, MUJOCO_GL=gl)), None)


def ensure_gl(root: Path, venv: Path, ros: Ros, progress: Progress) -> str:
    """The MUJOCO_GL that works here, with PyPI's OSMesa where the system has no OpenGL."""
    progress.step("off-screen OpenGL")
    gl = working_gl(venv)
    if gl is None:
        python_environment.install(root, venv, ros, ["--no-deps", "lavavu-osmesa"], progress)
        for carried in sorted(site_packages(venv).glob("lavavu_osmesa.libs/*.so*")):
            names = ("libOSMesa.so", "libOSMesa.so.8") if carried.name.startswith("libOSMesa") else (carried.name,)
            for name in names:
                _link(_library_folder(venv) / name, carried)
        gl = working_gl(venv)
    if gl is None:
        raise SetupError(
            "off-screen OpenGL: expected EGL or OSMesa, neither renders; run: sudo apt-get install libegl1 libgl1 libosmesa6"
        )
    progress.note(f"MUJOCO_GL={gl}")
    return gl


def ensure_libusb(root: Path, venv: Path, ros: Ros, progress: Progress) -> None:
    """pyrealsense2 loads libusb-1.0.so.0: the system's, else the one of the libusb-package wheel."""
    if _python_says_yes(venv, "import pyrealsense2"):
        return
    progress.step("libusb from PyPI")
    python_environment.install(root, venv, ros, ["libusb-package"], progress)
    carried = sorted(site_packages(venv).glob("libusb_package/libusb-1.0.so*"))
    if carried:
        _link(_library_folder(venv) / "libusb-1.0.so.0", carried[0])
    if not _python_says_yes(venv, "import pyrealsense2"):
        raise SetupError("pyrealsense2 does not import; run: sudo apt-get install libusb-1.0-0")
