"""What ``prophrl doctor`` looks at on the machine itself."""

import ctypes
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

from prophrl_bringup import environment
from prophrl_bringup.doctor import BLOCKING, NOTE, OK, WARNING, Finding

PACKAGES = ("prophrl_interfaces", "prophrl_core", "prophrl_cell", "prophrl_policy", "prophrl_sim", "prophrl_bringup")
SEGMENT_MIN_BYTES = 8 << 20  # a handful of 640x480 colour frames
PARTICIPANTS = 12  # processes of a cell, each with a shared-memory segment
DISK_COMFORTABLE_BYTES = 10 << 30
DISK_MIN_BYTES = 1 << 30
RENDER = (
    "import mujoco;m=mujoco.MjModel.from_xml_string('<mujoco/>');d=mujoco.MjData(m);"
    "mujoco.mj_forward(m,d);r=mujoco.Renderer(m,16,16);r.update_scene(d);r.render();r.close()"
)


def _python(code: str, timeout: float = 60.0) -> subprocess.CompletedProcess:
    """Run code in a Python of its own: a library that crashes must not take the doctor along."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def ros() -> list[Finding]:
    if importlib.util.find_spec("rclpy") is None:
        return [Finding(BLOCKING, "ROS 2", "rclpy is not importable", "run: make setup, and use ./prophrl")]
    loaded = _python("import rclpy; rclpy.init(); rclpy.shutdown()")
    if loaded.returncode != 0:
        return [Finding(BLOCKING, "ROS 2", f"rclpy does not start: {_last_line(loaded.stderr)}", "run: make setup")]
    distro = os.environ.get("ROS_DISTRO", "unknown")
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    return [Finding(OK, "ROS 2", f"{distro}, domain {domain}, discovery {reach}")]


def workspace() -> list[Finding]:
    prefixes = [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    index = Path("share") / "ament_index" / "resource_index" / "packages"
    missing = [name for name in PACKAGES if not any((prefix / index / name).is_file() for prefix in prefixes)]
    if missing:
        return [Finding(BLOCKING, "workspace", f"not built or not entered: {', '.join(missing)}", "run: make setup")]
    loaded = _python("import prophrl_interfaces.msg as m; m.ActionChunk()")
    if loaded.returncode != 0:
        text = f"prophrl_interfaces does not load: {_last_line(loaded.stderr)}"
        return [Finding(BLOCKING, "workspace", text, "run: rm -rf ros2_ws/build ros2_ws/install, then make setup")]
    return [Finding(OK, "workspace", f"{len(PACKAGES)} packages")]


def segment_size(profile: Path) -> int:
    """Bytes of the shared-memory segment that a Fast DDS profile asks for, 0 when it names none."""
    sizes = [int(node.text) for node in xml.parse(profile).iter() if node.tag.endswith("}segment_size")]
    return max(sizes, default=0)


def dds_profile() -> list[Finding]:
    subject, advice = "DDS profile", f"set FASTDDS_DEFAULT_PROFILES_FILE to {environment.share_folder()}/config/fastdds.xml"
    middleware = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if middleware != "rmw_fastrtps_cpp":
        text = f"{middleware} is in use; the camera profile is Fast DDS's, and frames may be lost"
        return [Finding(WARNING, subject, text, "set RMW_IMPLEMENTATION=rmw_fastrtps_cpp, or give it large buffers")]
    name = os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE") or os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE")
    if not name:
        return [Finding(WARNING, subject, "none in force: the default transport loses camera frames", advice)]
    try:
        size = segment_size(Path(name))
    except (OSError, xml.ParseError, ValueError) as error:
        return [Finding(BLOCKING, subject, f"{name} cannot be read: {error}", advice)]
    if size < SEGMENT_MIN_BYTES:
        text = f"{name}: shared-memory segment of {size >> 20} MiB, camera frames want {SEGMENT_MIN_BYTES >> 20} or more"
        return [Finding(WARNING, subject, text, advice)]
    return [Finding(OK, subject, f"{size >> 20} MiB shared-memory segments ({name})")]


def dds_memory() -> list[Finding]:
    subject, folder = "shared memory", Path("/dev/shm")
    if not folder.is_dir():
        return [Finding(BLOCKING, subject, "/dev/shm is not there", "mount a tmpfs on /dev/shm")]
    name = os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE", "")
    segment = segment_size(Path(name)) if Path(name).is_file() else SEGMENT_MIN_BYTES
    free, wanted = shutil.disk_usage(folder).free, segment * PARTICIPANTS
    found = []
    if free < wanted:
        level = BLOCKING if free < 2 * segment else WARNING
        text = f"/dev/shm has {free >> 20} MiB free, {PARTICIPANTS} processes want {wanted >> 20}"
        advice = "enlarge it: mount -o remount,size=1G /dev/shm (in a container: --shm-size=1g)"
        found.append(Finding(level, subject, text, advice))
    else:
        found.append(Finding(OK, subject, f"/dev/shm has {free >> 20} MiB free"))
    left = glob.glob("/dev/shm/fastrtps_*") + glob.glob("/dev/shm/fastdds_*")
    size = sum(os.path.getsize(path) for path in left if os.path.exists(path))
    if size > wanted:
        text = f"{len(left)} Fast DDS segments hold {size >> 20} MiB; processes that were killed leave theirs behind"
        found.append(Finding(NOTE, subject, text, "when no ROS process runs: rm /dev/shm/fastrtps_* /dev/shm/fastdds_*"))
    return found


def graphics() -> list[Finding]:
    gl = os.environ.get("MUJOCO_GL", "unset")
    rendered = _python(RENDER)
    if rendered.returncode == 0:
        return [Finding(OK, "off-screen GL", f"MUJOCO_GL={gl} renders")]
    text = f"MUJOCO_GL={gl} does not render: {_last_line(rendered.stderr)}"
    advice = "run: sudo apt-get install libegl1 libgl1 libosmesa6, then make setup (only the simulated cell needs it)"
    return [Finding(BLOCKING, "off-screen GL", text, advice)]


def librealsense() -> list[Finding]:
    subject = "librealsense"
    loaded = _python("import pyrealsense2 as rs; print(rs.__version__, len(rs.context().query_devices()))")
    if loaded.returncode != 0:
        text = f"pyrealsense2 does not load: {_last_line(loaded.stderr)}"
        return [Finding(BLOCKING, subject, text, "run: sudo apt-get install libusb-1.0-0, then make setup")]
    version, devices = loaded.stdout.split()
    return [Finding(OK, subject, f"{version}, {devices} cameras connected")]


def realtime_rights() -> list[Finding]:
    tried = _python("import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))")
    if tried.returncode == 0:
        return [Finding(OK, "real time", "SCHED_FIFO 60 granted")]
    text = "SCHED_FIFO refused: the servo loop runs at normal priority, its p99 period suffers"
    advice = "add to /etc/security/limits.d/prophrl.conf: '@realtime - rtprio 90' and '@realtime - memlock unlimited', join the group"
    return [Finding(WARNING, "real time", text, advice)]


def cpu_governor() -> list[Finding]:
    governors = {Path(path).read_text().strip() for path in glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    slow = governors - {"performance"}
    if not slow:
        return [Finding(OK, "CPU", f"{os.cpu_count()} cores")]
    text = f"{os.cpu_count()} cores, frequency governor {', '.join(sorted(slow))}: adds jitter to the servo loop"
    return [Finding(NOTE, "CPU", text, "run: sudo cpupower frequency-set -g performance")]


def gpu() -> list[Finding]:
    if not glob.glob("/dev/nvidia[0-9]*"):
        return [Finding(OK, "GPU", "none; policies run on the CPU")]
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        text = "an NVIDIA device without its driver library libcuda.so.1"
        return [Finding(WARNING, "GPU", text, "install the NVIDIA driver's user-space libraries")]
    providers = _python("import onnxruntime as o; print(*o.get_available_providers())").stdout.split()
    if "CUDAExecutionProvider" in providers:
        return [Finding(OK, "GPU", "NVIDIA, ONNX Runtime uses it")]
    text = "NVIDIA, but this ONNX Runtime has no CUDA provider: policies run on the CPU"
    return [Finding(NOTE, "GPU", text, "run: .venv/bin/pip uninstall -y onnxruntime, then make setup (its GPU build needs the driver installed first)")]


def disk() -> list[Finding]:
    folder = Path(os.environ.get("PROPHRL_ROOT", Path.cwd()))
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.0f} GiB free under {folder}"
    if free < DISK_MIN_BYTES:
        return [Finding(BLOCKING, "disk", text, "free some space: the recorder refuses to start an episode below 1 GiB")]
    if free < DISK_COMFORTABLE_BYTES:
        return [Finding(WARNING, "disk", text, "free some space before a long session")]
    return [Finding(OK, "disk", text)]
