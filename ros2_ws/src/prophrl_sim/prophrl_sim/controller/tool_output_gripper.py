"""A gripper on the tool's digital outputs: one output opens it, another closes it."""

from prophrl_core.cell import GripperSpec

from prophrl_sim.controller.arm import Arm
from prophrl_sim.controller.robot_state import RobotState

TOOL_SHIFT = 16


class ToolOutputGripper:
    """Acts when the outputs change and exactly one of the two is on."""

    def __init__(self, spec: GripperSpec, arm: Arm, state: RobotState):
        self._arm, self._registers = arm, state.registers
        self._open, self._close = 1 << spec.open_output, 1 << spec.close_output
        self._last = 0

    def tick(self) -> None:
        """Once per controller cycle."""
        outputs = self._registers.digital_outputs >> TOOL_SHIFT & (self._open | self._close)
        if outputs != self._last:
            self._last = outputs
            if outputs in (self._open, self._close):
                self._arm.gripper_target = 1.0 if outputs == self._open else 0.0
