"""The one place that talks ur_rtde: connect, command joints, read the state, notice when it lies.

ur_rtde keeps answering with stale values through stalls, kills and lost packets, so every reading carries
its own proof of life: the controller's timestamp must advance. All calls here may block for seconds or take
the process down; that is why it is a process of its own (see supervisor.py).
"""

import contextlib
import dataclasses
import time

import numpy as np
import rtde_control
import rtde_receive
from prophrl_core import se3
from prophrl_core.cell import RobotSpec
from prophrl_core.errors import UserError
from prophrl_core.ur_kinematics import forward

PLAYING, RUNNING = 2, 7
_PROTECTIVE_BIT, _EMERGENCY_BITS = 1 << 2, (1 << 5) | (1 << 6) | (1 << 7)
_VARIABLES = [
    "timestamp", "actual_q", "actual_qd", "actual_TCP_pose", "actual_TCP_force", "robot_mode", "safety_mode",
    "runtime_state", "safety_status_bits", "speed_scaling",
]  # fmt: skip
# The state is read at 125 Hz whatever the servo rate. The command session's own stream has to run at the servo rate:
# its packets carry the acknowledgements without which Nagle's algorithm holds the next command back.
_STREAM_HZ = 125.0
_RESTART_ATTEMPTS, _RESTART_PAUSE = 4, 0.3  # the client's view of the controller lags behind an unlock
_SLEW = 0.1  # s per s by which the lookahead may change
_TCP_TOLERANCE = 0.01  # m between our forward kinematics and the controller's


@dataclasses.dataclass
class Reading:
    """One look at the robot. Lists as the client gives them: rad, rad/s, m and rotation vector, N and N m."""

    controller_time: float
    q: list[float]
    qd: list[float]
    tcp_pose: list[float]
    wrench: list[float]
    robot_mode: int
    safety_mode: int
    runtime_state: int
    safety_bits: int
    speed_scaling: float

    @property
    def protective_stop(self) -> bool:
        return bool(self.safety_bits & _PROTECTIVE_BIT) or self.safety_mode == 3

    @property
    def emergency_stop(self) -> bool:
        return bool(self.safety_bits & _EMERGENCY_BITS) or self.safety_mode in (6, 7)


class RobotLink:
    """A live control session. Raises UserError with one line when it cannot be had."""

    def __init__(self, robot: RobotSpec):
        self._robot = robot
        self._period = 1.0 / robot.servo_rate
        self._lookahead = robot.servo_lookahead
        try:
            self._receive = rtde_receive.RTDEReceiveInterface(robot.ip, _STREAM_HZ, _VARIABLES)
            self._control = rtde_control.RTDEControlInterface(robot.ip, float(robot.servo_rate))
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(f"robot {robot.ip}: {_explain(str(error))}") from None
        self._prepare()
        self._check_kinematics()

    def _prepare(self) -> None:
        if not self._control.setTcp(list(self._robot.tcp)):
            raise UserError(f"robot {self._robot.ip}: the controller did not take the TCP; is it busy?")
        if not self._control.setPayload(self._robot.payload_mass, list(self._robot.payload_cog)):
            raise UserError(
                f"robot {self._robot.ip}: the payload of {self._robot.payload_mass} kg was not taken"
            )
        if not self._control.setWatchdog(self._robot.watchdog_hz):
            raise UserError(f"robot {self._robot.ip}: the controller did not take the watchdog")

    def _check_kinematics(self) -> None:
        reading = self.read()
        ours = (forward(self._robot.kinematics, np.array(reading.q)) @ self._robot.T_tool0_tcp)[:3, 3]
        theirs = se3.pose_from_rotvec(np.array(reading.tcp_pose))[:3, 3]
        apart = float(np.linalg.norm(ours - theirs))
        if apart > _TCP_TOLERANCE:
            raise UserError(
                f"robot {self._robot.ip}: the controller's TCP is {apart * 1e3:.0f} mm from where a "
                f"{self._robot.model} would have it; fix robot.model (or robot.tcp) in the cell"
            )

    def read(self) -> Reading:
        """The newest state that has arrived; it may be old (compare ``controller_time``)."""
        r = self._receive
        return Reading(
            r.getTimestamp(), r.getActualQ(), r.getActualQd(), r.getActualTCPPose(), r.getActualTCPForce(),
            r.getRobotMode(), r.getSafetyMode(), r.getRuntimeState(), r.getSafetyStatusBits(), r.getSpeedScaling(),
        )  # fmt: skip

    def servo(self, q: list[float], jogged: bool) -> bool:
        """Command joints (6,) rad for the coming cycle; False or RuntimeError when it did not go out.

        The lookahead of a jog is taken on gradually: a sudden change would make the arm catch up in a jerk.
        """
        wanted, most = self._robot.jog_lookahead if jogged else self._robot.servo_lookahead, _SLEW * self._period
        self._lookahead += min(max(wanted - self._lookahead, -most), most)
        return self._control.servoJ(q, 0.0, 0.0, self._period, self._lookahead, self._robot.servo_gain)

    def free(self) -> bool:
        """Let the arm be moved by hand; blocks for some cycles. ``keep_alive`` instead of ``servo`` from then on."""
        return self._control.servoStop() and self._control.freedriveMode()

    def unfree(self) -> bool:
        """Hold the arm again where it is; blocks for some cycles."""
        return self._control.endFreedriveMode()

    def keep_alive(self) -> bool:
        """Tell the controller's watchdog that somebody is there while nothing is commanded."""
        return self._control.kickWatchdog()

    @property
    def connected(self) -> bool:
        """Whether both sockets still look open to the client."""
        return self._control.isConnected() and self._receive.isConnected()

    def restart_program(self) -> bool:
        """Start the control script again on a controller that is free to run it; False when it does not run."""
        for _ in range(_RESTART_ATTEMPTS):
            with contextlib.suppress(UserError, RuntimeError):
                if self._control.isProgramRunning() or self._control.reuploadScript():
                    self._prepare()
                    return True
            time.sleep(_RESTART_PAUSE)
        return False

    def stop(self) -> None:
        """Leave servo mode and end the control script."""
        self._control.servoStop()
        self._control.stopScript()


def _explain(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    lowered = text.lower()
    if "in use" in lowered:
        return (
            "an RTDE input register is in use by another client (a fieldbus or a second controller session); "
            "disable it on the pendant or end that session"
        )
    if "remote control" in lowered:
        return "the controller is in local mode; switch it to Remote Control on the pendant"
    return f"no control session ({text}); check that it is on, in Remote Control and free of other clients"
