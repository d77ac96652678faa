"""Variables that every prophrl process should see, where the caller has set nothing else."""

import os
from pathlib import Path

from prophrl_core.errors import UserError


def share_folder() -> Path:
    """This package's share folder: of the built workspace, else of the source tree."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        share = Path(prefix) / "share" / "prophrl_bringup"
        if prefix and (share / "config").is_dir():
            return share
    return Path(__file__).resolve().parents[1]


def defaults() -> dict[str, str]:
    """DDS that carries camera frames (see config/fastdds.xml) and does not leave this machine."""
    profile = str(share_folder() / "config" / "fastdds.xml")
    return {
        "FASTDDS_DEFAULT_PROFILES_FILE": profile,
        "FASTRTPS_DEFAULT_PROFILES_FILE": profile,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def unset_defaults() -> dict[str, str]:
    """The defaults for which the environment has no value yet."""
    return {name: value for name, value in defaults().items() if not os.environ.get(name)}


def executable(package: str, name: str) -> Path:
    """The installed program ``name`` of a ROS package, as ``ros2 run`` finds it."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix and (Path(prefix) / "share" / "ament_index" / "resource_index" / "packages" / package).is_file():
            program = Path(prefix) / "lib" / package / name
            if program.is_file():
                return program
    raise UserError(f"expected the program {name} of package {package} in the built workspace, found none; run: make setup")


if __name__ == "__main__":
    for name, value in defaults().items():
        print(f"{name}={value}")
