"""The declared Python dependencies: read from where each is declared, never repeated here."""

import re
import tomllib
from pathlib import Path

ROOMS = {"train": "training", "calibrate": "calibration"}  # extra: the room whose pyproject.toml declares it
GPU_BUILDS = {"onnxruntime": "onnxruntime-gpu[cuda,cudnn]"}


def _lines(path: Path) -> list[str]:
    stripped = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in stripped if line]


def constraints_file(root: Path) -> Path:
    return root / "tools" / "requirements" / "constraints.txt"


def pinned(root: Path, name: str) -> str:
    """The pinned requirement of one package, such as ``torch==2.13.0``."""
    for line in _lines(constraints_file(root)):
        if re.split(r"[<>=!~ ]", line, maxsplit=1)[0] == name:
            return line
    raise KeyError(name)


def build(root: Path) -> list[str]:
    return _lines(root / "tools" / "requirements" / "build.txt")


def ros_wheels(root: Path, distro: str) -> list[str]:
    """The PyPI packages of one ROS distribution; a line naming another distribution is not for it."""
    lines = [line.format(distro=distro) for line in _lines(root / "tools" / "requirements" / "ros-wheels.txt")]
    return [line for line in lines if line.startswith(f"ros-{distro}-")]


def extra(root: Path, name: str, gpu: bool = False) -> list[str]:
    """``train`` and ``calibrate`` from their rooms' pyproject.toml, the others from their files.

    With a GPU, ONNX Runtime is the build that uses it: another package with the same content, so never both.
    """
    if name in ROOMS:
        project = tomllib.loads((root / ROOMS[name] / "pyproject.toml").read_text(encoding="utf-8"))
        lines = list(project["project"]["dependencies"])
    else:
        lines = _lines(root / "tools" / "requirements" / f"{name}.txt")
    return [GPU_BUILDS.get(line, line) if gpu else line for line in lines]


def declaration_files(root: Path) -> list[Path]:
    """Every file whose change means that pip has to look again."""
    projects = [root / room / "pyproject.toml" for room in ROOMS.values()]
    return [*sorted((root / "tools" / "requirements").glob("*.txt")), *projects]
