"""What every gripper can do; the node knows nothing else."""

import dataclasses
from typing import Protocol

from prophrl_core.cell import GripperSpec, RobotSpec


@dataclasses.dataclass(frozen=True)
class GripperReading:
    """One look at the gripper. ``openness`` is measured, 0 closed to 1 open; ``fault`` 0 is none."""

    activated: bool
    openness: float
    moving: bool
    object_detected: bool
    fault: int
    reason: str = ""


class GripperDriver(Protocol):
    """A connected gripper. Every method raises OSError when the link is gone."""

    def activate(self) -> None:
        """Make it ready to move; returns at once where it already is."""

    def command(self, openness: float, speed: float, force: float) -> None:
        """Go to ``openness`` 0..1 with ``speed`` and ``force`` 0..1 of the gripper's range; does not wait."""

    def read(self) -> GripperReading:
        """The present state."""

    def close(self) -> None:
        """Drop the link; the gripper keeps its grip."""


def connect(robot: RobotSpec, gripper: GripperSpec) -> GripperDriver:
    """The driver the cell names, connected. OSError when nothing answers."""
    if gripper.driver == "tool_output":
        from prophrl_cell.gripper.tool_output import ToolOutputGripper

        return ToolOutputGripper(robot.ip, gripper.open_output, gripper.close_output)
    from prophrl_cell.gripper.robotiq import RobotiqGripper

    return RobotiqGripper(robot.ip, gripper.port)
