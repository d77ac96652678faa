"""Starts simulated cells and ur_rtde clients for tests: always in processes of their own."""

import json
import os
import sys
from pathlib import Path

import yaml
from prophrl_core.config_path import find_config
from prophrl_sim.control_client import ControlClient

CLIENT_TIMEOUT = 60.0
# Other versions of ur_rtde to test against: folders with an installed package, separated by ":".
UR_RTDE_PATHS = [path for path in os.environ.get("PROPHRL_UR_RTDE_PATHS", "").split(":") if path]

_PRELUDE = """
import json, os, sys, time
import rtde_control, rtde_receive, rtde_io, dashboard_client
IP = sys.argv[1]
def control(): return rtde_control.RTDEControlInterface(IP)
def receive(): return rtde_receive.RTDEReceiveInterface(IP)
def dashboard():
    client = dashboard_client.DashboardClient(IP)
    client.connect()
    return client
def wait(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        time.sleep(0.005)
    return False
def done(**result):
    print("RESULT", json.dumps(result), flush=True)
    os._exit(0)
"""


class EmulatedCell:
    """A running ``sim_cell`` on ``ip`` and its control port."""

    def __init__(self, process, ip: str, tmp_path: Path, cameras: bool = False, gripper: dict | None = None):
        self.ip, self._start, self._clients = ip, process, 0
        cell = yaml.safe_load(Path(find_config("cells", "sim")).read_text())
        cell["robot"]["ip"] = ip
        if not cameras:
            cell["cameras"] = []
        for camera in cell["cameras"]:
            camera["host"] = ip
        cell["gripper"] |= gripper or {}
        self.file = tmp_path / f"cell-{ip}.yaml"
        self.file.write_text(yaml.safe_dump(cell))
        command = [sys.executable, "-m", "prophrl_sim.serve", "--cell", self.file]
        self.process = process(command, name="sim_cell")
        self.process.wait_for(r"ready on")
        self.control = ControlClient(ip)

    def fault(self, kind: str, **content) -> None:
        self.control.request("fault", kind=kind, **content)

    def state(self) -> dict:
        return self.control.request("state")

    def client(self, code: str, ur_rtde: str = ""):
        """Start ``code`` with ur_rtde in a process; it ends with ``done(...)``. ``result`` waits for that."""
        self._clients += 1
        env = dict(os.environ)
        if ur_rtde:
            env["PYTHONPATH"] = os.pathsep.join([ur_rtde, env.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", _PRELUDE + code, self.ip]
        return self._start(command, name=f"client-{self._clients}", env=env)

    def result(self, client, timeout: float = CLIENT_TIMEOUT) -> dict:
        return json.loads(client.wait_for(r"^RESULT (.*)$", timeout).group(1))

    def run(self, code: str, ur_rtde: str = "", timeout: float = CLIENT_TIMEOUT) -> dict:
        """Run ``code`` to its ``done(...)``; what it was given."""
        return self.result(self.client(code, ur_rtde), timeout)
