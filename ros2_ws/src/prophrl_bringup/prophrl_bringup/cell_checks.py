"""What ``prophrl doctor`` looks at on one cell: who answers at its addresses, and which cameras are there."""

import socket
import subprocess
import sys

from prophrl_core.cell import CellSpec

from prophrl_bringup.doctor import BLOCKING, OK, Finding

# Universal Robots e-Series: dashboard, primary, secondary, real-time script, RTDE.
CONTROLLER_PORTS = {29999: "dashboard", 30001: "primary", 30002: "secondary", 30003: "script", 30004: "RTDE"}
CONNECT_TIMEOUT_S = 1.0


def _answers(host: str, port: int) -> str:
    """Empty when something accepts connections there, else why not."""
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S):
            return ""
    except OSError as error:
        return error.strerror or "no answer"


def _taken(host: str, port: int) -> str:
    """Empty when a server could listen there, else why not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or "not available"
    return ""


def ports(cell: CellSpec) -> list[Finding]:
    """A simulated cell needs its ports free; a real one must answer on them."""
    host = cell.robot.ip
    wanted = dict(CONTROLLER_PORTS)
    if cell.gripper.driver == "robotiq_socket":
        wanted[cell.gripper.port] = "gripper"
    if cell.simulator is not None:
        wanted |= {cell.simulator.control_port: "simulator control", cell.simulator.frame_port: "simulated cameras"}
        found = [(port, what, _taken(host, port)) for port, what in wanted.items()]
        advice = "is another simulated cell up? end it, or use another loopback address: --robot-ip 127.0.0.2"
        return [
            Finding(BLOCKING, "cell ports", f"{host}:{port} ({what}): {reason}", advice) for port, what, reason in found if reason
        ] or [Finding(OK, "cell ports", f"{len(found)} ports of the simulated cell are free at {host}")]
    found = [(port, what, _answers(host, port)) for port, what in wanted.items()]
    silent = [f"{port} ({what})" for port, what, reason in found if reason]
    if len(silent) == len(found):
        advice = "check cable, power and address (pendant: Settings > System > Network), or give --robot-ip"
        return [Finding(BLOCKING, "cell ports", f"no controller at {host}: {found[0][2]}", advice)]
    if silent:
        advice = "enable the services (pendant: Settings > Security > Services); the gripper's port needs its URCap"
        return [Finding(BLOCKING, "cell ports", f"{host} does not answer on {', '.join(silent)}", advice)]
    return [Finding(OK, "cell ports", f"the controller at {host} answers on {len(found)} ports")]


def _connected_serials() -> list[str]:
    code = "import pyrealsense2 as rs; print(*(d.get_info(rs.camera_info.serial_number) for d in rs.context().query_devices()))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.split()


def cameras(cell: CellSpec) -> list[Finding]:
    """Every RealSense of the cell must be connected; recordings and simulated cameras need nothing here."""
    wanted = [camera for camera in cell.cameras if camera.source == "realsense"]
    if not wanted:
        return [Finding(OK, "cell cameras", f"{len(cell.cameras)}, none of them a device")]
    serials = _connected_serials()
    connected = ", ".join(serials) or "none"
    advice = "check cable and USB port (USB 3), the udev rules, and cameras.serial in the cell description"
    found = []
    for camera in wanted:
        if (camera.serial and camera.serial not in serials) or not serials:
            text = f"{camera.name}: expected serial {camera.serial or '(any)'}, connected: {connected}"
            found.append(Finding(BLOCKING, "cell cameras", text, advice))
    return found or [Finding(OK, "cell cameras", f"{len(wanted)} RealSense connected")]
