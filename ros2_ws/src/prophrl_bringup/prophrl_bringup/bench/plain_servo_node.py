"""The usual way, for comparison: a ROS node whose own thread runs ur_rtde's ``servoL`` at normal priority.

It subscribes to what an arm node subscribes to and publishes joint states from the loop. Issue times of the servo
commands (float64, monotonic s) are written to ``--log`` at the end.
"""

import argparse
import time

import numpy as np
import rtde_control
import rtde_receive
from prophrl_core.ur_models import JOINT_NAMES
from prophrl_interfaces.msg import ActionChunk, EpisodeEvent
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from prophrl_bringup.bench.plain_loop import run
from prophrl_bringup.bench.servo_task import GAIN, LOOKAHEAD_S, sideways


class PlainServoNode(Node):
    """``run`` is the servo loop; the executor spins in the main thread of the same process."""

    def __init__(self, ip: str, rate: int):
        super().__init__("plain_servo_node")
        self._rate, self.running, self.issued = rate, True, []
        self._control = rtde_control.RTDEControlInterface(ip, float(rate))
        self._receive = rtde_receive.RTDEReceiveInterface(ip, float(rate))
        self._joint_states = self.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self.create_subscription(ActionChunk, "policy/chunk", lambda message: np.asarray(message.actions), 1)
        self.create_subscription(EpisodeEvent, "episode/event", lambda message: None, 20)
        self.create_service(Trigger, "arm/hold", lambda request, response: response)

    def run(self) -> None:
        """Servo until ``running`` is cleared."""
        start_pose, start = self._receive.getActualTCPPose(), time.monotonic()
        every = max(1, self._rate // 125)
        while self.running:
            tick = self._control.initPeriod()
            pose = list(start_pose)
            pose[1] += sideways(time.monotonic() - start)
            self.issued.append(time.monotonic())
            self._control.servoL(pose, 0.5, 0.5, 1.0 / self._rate, LOOKAHEAD_S, GAIN)
            q, qd = self._receive.getActualQ(), self._receive.getActualQd()
            if len(self.issued) % every == 0:
                message = JointState(name=list(JOINT_NAMES), position=q, velocity=qd)
                message.header.stamp = self.get_clock().now().to_msg()
                self._joint_states.publish(message)
            self._control.waitPeriod(tick)
        self._control.servoStop()
        self._control.stopScript()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ip", required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--log", required=True)
    arguments = parser.parse_args()
    node = run(lambda: PlainServoNode(arguments.ip, arguments.rate), "servoing")
    np.array(node.issued).tofile(arguments.log)


if __name__ == "__main__":
    main()
