"""The virtual environment and what pip puts into it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import requirements
from progress import Progress, SetupError
from ros_environment import Ros


def create(venv: Path, ros: Ros, progress: Progress) -> None:
    """Make the environment, or adopt the one that is there. A sourced ROS's packages stay visible in it."""
    if (venv / "bin" / "python").exists():
        return
    progress.step(f"virtual environment with Python {sys.version_info.major}.{sys.version_info.minor}")
    command = [sys.executable, "-m", "venv", str(venv)]
    progress.run(command if ros.from_wheels else [*command, "--system-site-packages"])


def _pip(venv: Path) -> list[str]:
    return [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def _clean_environment() -> dict[str, str]:
    """pip must see the virtual environment, not the packages of a sourced ROS or of another workspace."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}


def _constraints(root: Path, venv: Path, ros: Ros) -> list[str]:
    """The pins; with an apt ROS also its own numpy, which its message libraries were compiled against."""
    arguments = ["-c", str(requirements.constraints_file(root))]
    if not ros.from_wheels:
        system = subprocess.run(
            ["/usr/bin/python3", "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True
        )
        if system.returncode == 0:
            extra = venv / "prophrl" / "system-constraints.txt"
            extra.parent.mkdir(parents=True, exist_ok=True)
            extra.write_text(f"numpy=={system.stdout.strip()}\n", encoding="utf-8")
            arguments += ["-c", str(extra)]
    return arguments


def install(root: Path, venv: Path, ros: Ros, packages: list[str], progress: Progress) -> None:
    command = [*_pip(venv), "install", "--progress-bar", "off", *_constraints(root, venv, ros), *packages]
    progress.run(command, env=_clean_environment())


def has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def install_torch(root: Path, venv: Path, ros: Ros, progress: Progress) -> None:
    """torch before everything that depends on it, and never a CUDA build on a machine without a GPU."""
    wheel = os.environ.get("PROPHRL_TORCH_WHEEL")
    torch = wheel or requirements.pinned(root, "torch")
    if not has_gpu():
        report = venv / "prophrl" / "torch-report.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["install", "--dry-run", "--quiet", "--report", str(report), *_constraints(root, venv, ros), torch]
        progress.run([*_pip(venv), *arguments], env=_clean_environment())
        cuda = cuda_packages(json.loads(report.read_text(encoding="utf-8")))
        if cuda:
            raise SetupError(
                f"expected a CPU build of {torch} on this machine without a GPU, pip would fetch {len(cuda)} CUDA packages "
                f"({cuda[0]}, ...); point pip at CPU builds (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS) "
                "or set PROPHRL_TORCH_WHEEL to a wheel"
            )
    install(root, venv, ros, [torch], progress)


def cuda_packages(report: dict) -> list[str]:
    """Names of the CUDA run-time packages in a ``pip install --report``."""
    names = (item["metadata"]["name"].lower() for item in report["install"])
    return sorted(name for name in names if name.startswith(("nvidia-", "cuda-")))
