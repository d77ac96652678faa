"""A simulated cell and a real arm_node on an address and ROS domain of their own, with a client beside them."""

import os
import time
from pathlib import Path

import numpy as np
import yaml
from prophrl_core.cell import load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_sim.control_client import ControlClient

from prophrl_bringup import environment
from prophrl_bringup.nodes.arm_client import TASK, ArmClient
from prophrl_bringup.program import Program, Programs

POLICY_READY = "waiting for an episode"


def write_cell(folder: Path, ip: str, cameras: bool = False, **changes) -> Path:
    """The simulated cell's description moved to ``ip``; ``changes`` replace fields, as in ``robot__model="ur20"``."""
    data = yaml.safe_load(find_config("cells", "sim").read_text(encoding="utf-8"))
    data["robot"]["ip"] = ip
    data["cameras"] = [camera | {"host": ip} for camera in data["cameras"]] if cameras else []
    for name, value in changes.items():
        section, field = name.split("__")
        data.setdefault(section, {})[field] = value
    path = folder / f"cell-{ip}-{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


class ArmRig:
    """Context manager; ``control`` is the simulator's control port, ``client`` the arm's ROS client.

    ``simulated`` holds changes of the simulator's cell only, for a robot that is not the one described.
    """

    def __init__(
        self, folder: Path, ip: str, domain: int, cameras: bool = False, simulated: dict | None = None, **changes
    ):
        self.ip, self._domain = ip, domain
        self.cell_file = write_cell(folder, ip, cameras, **changes)
        self._simulated = write_cell(folder, ip, cameras, **(changes | simulated)) if simulated else self.cell_file
        self._seeing = False
        self.variables = dict(os.environ) | environment.unset_defaults() | {"ROS_DOMAIN_ID": str(domain)}
        self._programs = Programs(folder, self.variables)

    def __enter__(self) -> "ArmRig":
        try:
            self.simulator = self.start("prophrl_sim.serve", "--cell", self._simulated, "--task", TASK)
            self.simulator.wait_for("ready on")
            self.control = ControlClient(self.ip)
            self.client = ArmClient(self._domain)
        except BaseException:
            self._programs.stop()
            raise
        return self

    def __exit__(self, *exc) -> None:
        self.client.close()
        self.control.close()
        self._programs.stop()

    def start(self, module: str, *arguments) -> Program:
        """Start ``python -m module``."""
        return self._programs.start(module, *arguments)

    def start_arm(self, **parameters) -> Program:
        """Start arm_node on this cell."""
        values = {"cell_file": self.cell_file, "task_file": TASK} | parameters
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        self.arm = self.start("prophrl_cell.nodes.arm_node", "--ros-args", *words)
        return self.arm

    def start_cameras(self) -> None:
        """Start the cell's camera nodes (the rig needs ``cameras``), once."""
        for camera in () if self._seeing else load_cell(self.cell_file).cameras:
            words = ("-p", f"cell_file:={self.cell_file}", "-p", f"camera:={camera.name}")
            self.start("prophrl_cell.nodes.camera_node", "--ros-args", "-r", f"__node:=camera_{camera.name}", *words)
        self._seeing = True

    def start_policy(self, bundle: Path, *ros_arguments: str) -> Program:
        """Start a policy_node on the cell's cameras; it takes the episodes that begin after this returns."""
        self.start_cameras()
        words = ("-p", f"cell_file:={self.cell_file}", "-p", f"task_file:={TASK}", "-p", f"bundle:={bundle}")
        policy = self.start("prophrl_policy.nodes.policy_node", "--ros-args", *ros_arguments, *words)
        policy.wait_for(POLICY_READY)
        return policy

    def fault(self, kind: str, **content) -> None:
        """Inject a fault through the control port."""
        self.control.request("fault", kind=kind, **content)

    def joints(self) -> np.ndarray:
        """The true joint positions (6,)."""
        return np.array(self.control.request("state")["q"])

    def stop_time(self, injected: float, limit: float = 15.0, quiet: float = 0.3, speed: float = 0.01) -> float:
        """Seconds from monotonic time ``injected`` until the true joints have come to rest, for ``quiet`` s at least.

        At rest means below ``speed`` rad/s in differences of true positions over host time, so that a simulator
        whose physics is frozen is not taken for a moving arm.
        """
        last_moving, (t_0, q_0) = injected, (time.monotonic(), self.joints())
        while time.monotonic() - last_moving < quiet + 0.05:
            self.client.spin(0.01)
            t, q = time.monotonic(), self.joints()
            if np.abs(q - q_0).max() / (t - t_0) > speed:
                last_moving = t
            t_0, q_0 = t, q
            if t - injected > limit:
                raise UserError(f"expected the arm at rest within {limit:.0f} s of the fault; it still moves")
        return max(0.0, last_moving - injected)

    def arm_process(self) -> int:
        """Process id of the RTDE process that arm_node supervises."""
        children = Path(f"/proc/{self.arm.popen.pid}/task/{self.arm.popen.pid}/children").read_text().split()
        if not children:
            raise UserError("expected a running RTDE process under arm_node, found none")
        return int(children[0])
