"""UMI's RTDE interpolation controller on the same task, from a copy of its public code outside this repository.

``--umi-path`` is the folder that contains ``umi/``, or several joined by ":", as its dependencies need. Nothing
of it is changed; the RTDE client it creates is wrapped to note when each servo command is issued.
"""

import argparse
import os
import signal
import sys
import time
from multiprocessing.managers import SharedMemoryManager

import numpy as np
import rtde_control
import rtde_receive

from prophrl_bringup.bench.servo_task import GAIN, LOOKAHEAD_S, sideways

_AHEAD_S, _EVERY_S = 0.3, 0.1
_MOST = 500 * 600


class NotingControl:
    """RTDEControlInterface that writes the time of every servoL to a shared array; the first entry counts."""

    log: np.memmap

    def __init__(self, *args, **kwargs):
        self._control = rtde_control.RTDEControlInterface(*args, **kwargs)

    def servoL(self, *args):
        count = int(self.log[0])
        self.log[1 + count % (_MOST - 1)] = time.monotonic()
        self.log[0] = count + 1
        return self._control.servoL(*args)

    def __getattr__(self, name):
        return getattr(self._control, name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ip", required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--umi-path", required=True)
    arguments = parser.parse_args()
    sys.path[:0] = arguments.umi_path.split(os.pathsep)
    import umi.real_world.rtde_interpolation_controller as theirs

    NotingControl.log = np.memmap(arguments.log + ".map", np.float64, "w+", shape=(_MOST,))
    theirs.RTDEControlInterface = NotingControl
    receive = rtde_receive.RTDEReceiveInterface(arguments.ip)
    start_pose = np.array(receive.getActualTCPPose())
    running = [True]
    signal.signal(signal.SIGINT, lambda *_: running.clear())
    with SharedMemoryManager() as manager:
        controller = theirs.RTDEInterpolationController(
            manager, arguments.ip, frequency=arguments.rate, lookahead_time=LOOKAHEAD_S, gain=GAIN,
            max_pos_speed=0.5, max_rot_speed=1.0, launch_timeout=15,
        )  # fmt: skip
        controller.start()
        print("servoing", flush=True)
        start = time.monotonic()
        while running:
            ahead = time.monotonic() - start + _AHEAD_S
            pose = start_pose + np.array([0.0, sideways(ahead), 0.0, 0.0, 0.0, 0.0])
            controller.schedule_waypoint(pose, time.time() + _AHEAD_S)
            time.sleep(_EVERY_S)
        controller.stop(wait=False)
        controller.join(3.0)
    count = min(int(NotingControl.log[0]), _MOST - 1)
    np.array(NotingControl.log[1 : 1 + count]).tofile(arguments.log)


if __name__ == "__main__":
    main()
