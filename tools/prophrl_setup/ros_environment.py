"""Which ROS 2 this workspace is built with: the sourced one, or the wheels from PyPI inside the virtual environment."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from progress import SetupError

WHEEL_DISTROS = ("jazzy", "kilted")
# Where the wheels were built: their CMake exports still point there.
BUILD_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
BUILD_NUMPY = re.compile(r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages/numpy/_core/include")


@dataclass(frozen=True)
class Ros:
    """The ROS in use. ``prefix`` is /opt/ros/<distro> of a sourced one, None for the wheels."""

    distro: str
    prefix: Path | None

    @property
    def from_wheels(self) -> bool:
        return self.prefix is None

    def describe(self) -> str:
        return f"ROS 2 {self.distro} from {'PyPI wheels' if self.from_wheels else self.prefix}"


def detect(venv: Path, last_prefix: str | None) -> Ros:
    """The sourced ROS; else the one used last time, if it is still there; else the wheels of $PROPHRL_ROS (jazzy)."""
    chosen = os.environ.get("PROPHRL_ROS")
    if chosen:
        if chosen not in WHEEL_DISTROS:
            raise SetupError(f"PROPHRL_ROS: expected one of {', '.join(WHEEL_DISTROS)}, got {chosen!r}")
        return Ros(chosen, None)
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for entry in [*sourced, last_prefix or ""]:
        prefix = Path(entry)
        if not entry or prefix.resolve() == venv.resolve():
            continue
        if (prefix / "share" / "rclpy").is_dir() and (prefix / "setup.bash").is_file():
            return Ros(prefix.name, prefix)
    return Ros(WHEEL_DISTROS[0], None)


def site_packages(venv: Path) -> Path:
    return next((venv / "lib").glob("python3.*")) / "site-packages"


def point_exports_at_this_python(venv: Path, python_include: str, numpy_include: str) -> int:
    """Rewrite the builder's include folders in the wheels' CMake exports; returns how many files changed."""
    changed = 0
    for path in (venv / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        new = BUILD_INCLUDE.sub(python_include, BUILD_NUMPY.sub(numpy_include, text))
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed += 1
    return changed


def sourced(script: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment after ``source script`` in bash, started from ``environment``."""
    shell = subprocess.run(
        ["bash", "-c", 'source "$0" >/dev/null && env -0', str(script)], env=environment, capture_output=True, text=True
    )
    if shell.returncode != 0:
        raise SetupError(f"sourcing {script} ended with {shell.returncode}: {shell.stderr.strip().splitlines()[-1:]}")
    return dict(entry.split("=", 1) for entry in shell.stdout.split("\0") if "=" in entry)


def bare_environment() -> dict[str, str]:
    """What a login offers without any ROS or virtual environment in it."""
    ours = Path(__file__).resolve().parents[2]
    path = [entry for entry in os.environ["PATH"].split(os.pathsep) if not entry.startswith(str(ours))]
    keep = {name: os.environ[name] for name in ("HOME", "LANG", "TERM", "USER") if name in os.environ}
    return keep | {"PATH": os.pathsep.join(path)}


def base_environment(ros: Ros, venv: Path) -> dict[str, str]:
    """The whole environment below the workspace: bare login, then ROS, then the virtual environment."""
    environment = bare_environment()
    libraries = [str(venv / "prophrl" / "lib")]
    if ros.from_wheels:
        libraries += [str(venv / "lib"), *sorted(str(path) for path in site_packages(venv).glob("ros_*.libs"))]
        environment |= {
            "AMENT_PREFIX_PATH": str(venv),
            "CMAKE_PREFIX_PATH": str(venv),
            "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
            "ROS_VERSION": "2",
            "ROS_PYTHON_VERSION": "3",
            "ROS_DISTRO": ros.distro,
            "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        }
    else:
        environment = sourced(ros.prefix / "setup.bash", environment)
        libraries += [entry for entry in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if entry]
    return environment | {
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}{os.pathsep}{environment['PATH']}",
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }
