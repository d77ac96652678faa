"""Short programs sent over a script port: moves, stops, sleeps and settings, one after the other."""

from collections.abc import Iterator

import numpy as np
from prophrl_core import se3

from prophrl_sim.controller.arm import PERIOD, Arm
from prophrl_sim.controller.motions import Hold, Motion, MoveJ, MoveL, Stop
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.script_functions import RuntimeException
from prophrl_sim.controller.urscript import Pose, ScriptError, Statement

_DIGITAL_SHIFT = {"set_standard_digital_out": 0, "set_configurable_digital_out": 8, "set_tool_digital_out": 16}


def finish(arm: Arm, motion: Motion) -> Iterator[None]:
    """Run ``motion`` to its end, one yield per tick, then hold."""
    arm.start(motion)
    yield
    while not (arm.idle and arm.motion is motion):
        yield
    arm.start(Hold())


def stop(arm: Arm, deceleration: float, joints: bool) -> Iterator[None]:
    """stopj (``joints``, rad/s^2) or stopl (m/s^2)."""
    if arm.reference.at_rest:
        arm.start(Hold())
    elif joints:
        yield from finish(arm, Stop.joints(arm.reference, deceleration))
    else:
        yield from finish(arm, Stop.tool(arm.reference, deceleration, arm.kinematics))


def move(arm: Arm, linear: bool, target: list[float], speed: float, acceleration: float) -> Iterator[None]:
    """movej or movel to joints (list) or a TCP pose (Pose), from rest to rest."""
    yield from stop(arm, 8.0, joints=True)
    start = arm.reference.q
    if linear:
        is_pose = isinstance(target, Pose)
        goal = se3.pose_from_rotvec(np.array(target)) if is_pose else arm.kinematics.forward(np.array(target))
        motion = MoveL(arm.kinematics, start, goal, speed, acceleration)
    else:
        q = arm.joints_for(target, start) if isinstance(target, Pose) else np.array(target)
        if q is None or not arm.within_limits(q):
            raise RuntimeException("movej to a position outside the limits of the arm")
        motion = MoveJ(start, q, speed, acceleration, arm.max_speed)
    yield from finish(arm, motion)


def run_move(arm: Arm, statement: Statement) -> Iterator[None]:
    """A movej, movel or movep statement; blend radii are not followed: every waypoint is reached at rest."""
    target = statement.args[0] if statement.args else None
    if statement.name not in ("movej", "movel", "movep") or not isinstance(target, list) or len(target) != 6:
        raise ScriptError(f"the emulator cannot run {statement.name!r} with these arguments")
    linear = statement.name != "movej"
    speed, acceleration = (0.25, 1.2) if linear else (1.05, 1.4)
    yield from move(
        arm, linear, target, statement.kwargs.get("v", speed), statement.kwargs.get("a", acceleration)
    )


class StraightProgram:
    """Runs a list of statements; ``finished`` when the last has ended."""

    def __init__(self, statements: tuple[Statement, ...], arm: Arm, state: RobotState):
        self.arm, self.state = arm, state
        self._thread = self._run(statements)
        self.finished = False

    def tick(self) -> None:
        """One controller cycle. Raises RuntimeException, ScriptError, MotionFault."""
        if next(self._thread, self) is self:
            self.finished = True

    def _run(self, statements: tuple[Statement, ...]) -> Iterator[None]:
        for statement in statements:
            yield from self._one(statement)
            yield

    def _one(self, statement: Statement) -> Iterator[None]:
        name, args = statement.name, [*statement.args, *statement.kwargs.values()]
        try:
            if name.startswith("move"):
                yield from run_move(self.arm, statement)
            elif name in ("stopj", "stopl"):
                yield from stop(self.arm, float(args[0]), joints=name == "stopj")
            elif name == "sleep":
                for _ in range(round(min(float(args[0]), 3600.0) / PERIOD)):
                    yield
            elif name in _DIGITAL_SHIFT:
                bit = 1 << int(args[0]) % 8 + _DIGITAL_SHIFT[name]
                word = self.state.registers.digital_outputs
                self.state.registers.set_digital_outputs(word | bit if args[1] else word & ~bit)
            elif name == "write_output_integer_register":
                self.state.registers.set_output_int(int(args[0]), int(args[1]))
            elif name == "write_output_float_register":
                self.state.registers.set_output_double(int(args[0]), float(args[1]))
            elif name == "set_tcp":
                self.arm.kinematics.set_offset(args[0])
            elif name == "set_payload":
                self.arm.payload = float(args[0])
            elif name == "popup":
                self.state.stop_reason = str(args[0])
            else:
                raise ScriptError(f"the emulator cannot run {name!r}")
        except (IndexError, TypeError, ValueError) as error:
            raise ScriptError(f"wrong arguments for {name!r}: {error}") from error
