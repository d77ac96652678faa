"""Debian and Ubuntu packages: what is missing, installed where the rights allow it, else the exact command."""

import ctypes
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from progress import Progress, SetupError


@dataclass(frozen=True)
class Need:
    """Something the machine must offer, and the packages that bring it."""

    what: str
    packages: tuple[str, ...]
    required: bool  # False: a pip-only fallback exists


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _has_gl() -> bool:
    return (_has_library("libEGL.so.1") and _has_library("libGL.so.1")) or _has_library("libOSMesa.so.8")


def _has_venv() -> bool:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def missing(venv_exists: bool) -> list[Need]:
    """What this machine lacks for building and running prophrl, seen from the Python that runs the set-up."""
    needs = []
    if not venv_exists and not _has_venv():
        needs.append(Need("Python's venv module", ("python3-venv",), required=True))
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        needs.append(Need("Python's C headers", ("python3-dev",), required=True))
    if not shutil.which("g++"):
        needs.append(Need("a C++ compiler", ("g++",), required=True))
    if not shutil.which("make"):
        needs.append(Need("make", ("make",), required=True))
    if not shutil.which("cmake"):
        needs.append(Need("cmake", ("cmake",), required=False))
    if not _has_library("libusb-1.0.so.0"):
        needs.append(Need("libusb for RealSense cameras", ("libusb-1.0-0",), required=False))
    if not _has_gl():
        needs.append(Need("off-screen OpenGL", ("libegl1", "libgl1", "libosmesa6"), required=False))
    return needs


def missing_for_tests() -> list[Need]:
    """What the tests want beyond that: a browser for the operator console."""
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return []
    return [Need("a browser for the console's tests", ("chromium", "chromium-driver"), required=False)]


def _privilege() -> list[str] | None:
    """The prefix that gives apt its rights: [] as root, sudo where it asks no password, None where there is no way."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def install(needs: list[Need], progress: Progress, otherwise: str = "using the pip-only substitutes") -> None:
    """Install what is missing; SetupError with the exact command when something required cannot be.

    ``otherwise`` says what happens without the packages that are not required.
    """
    packages = [name for need in needs for name in need.packages]
    by_hand = "sudo apt-get install -y " + " ".join(packages)
    progress.step(f"system packages: {', '.join(need.what for need in needs)}")
    prefix = _privilege()
    if prefix is not None:
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        try:
            progress.run([*apt, "update"])
            progress.run([*apt, "install", "-y", "--no-install-recommends", *packages])
            return
        except SetupError as error:
            reason = str(error)
    else:
        reason = "no right to install system packages here"
    required = [need.what for need in needs if need.required]
    if required:
        raise SetupError(f"{', '.join(required)} missing and not installed ({reason}); run: {by_hand}")
    progress.note(f"not installed ({reason}); {otherwise}; for the system's own run: {by_hand}")
