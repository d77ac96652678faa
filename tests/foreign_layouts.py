"""Robot motion that is known, written in the column layouts of foreign datasets.

Rotations are made with scipy's, so that a card's reading of them is checked against another implementation.
"""

import numpy as np
from prophrl_core import se3
from scipy.spatial.transform import Rotation

BRIDGE_DEFAULT = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


class Truth:
    """A robot that covers ``gain`` of each command: poses before (n + 1), targets and openness (n)."""

    def __init__(self, seed=0, n=60, gain=0.8, largest_m=0.02, largest_rad=0.08, upside_down=True):
        rng = np.random.default_rng(seed)
        smooth = np.cumsum(rng.normal(size=(n, 6)), axis=0)
        smooth -= np.linspace(smooth[0], smooth[-1], n)
        wanted = smooth / np.abs(smooth).max() * ([largest_m] * 3 + [largest_rad] * 3)
        start = Rotation.from_euler("xyz", [np.pi if upside_down else 0.2, 0.1, 0.4]).as_matrix()
        self.poses, self.targets = [se3.transform(start, [0.5, 0.05, 0.3])], []
        self.deltas = wanted  # base frame: metres, rotation vector applied from the left
        for d in wanted:
            now = self.poses[-1]
            target = se3.transform(se3.rotvec_to_matrix(d[3:]) @ now[:3, :3], now[:3, 3] + d[:3])
            reached = se3.transform(se3.rotvec_to_matrix(gain * d[3:]) @ now[:3, :3], now[:3, 3] + gain * d[:3])
            self.targets.append(target)
            self.poses.append(reached)
        self.poses, self.targets = np.array(self.poses), np.array(self.targets)
        self.command = np.where((np.arange(n) // 15) % 2, 0.0, 1.0)
        self.openness = np.concatenate([[1.0], self.command])[: n + 1]  # the gripper follows one step late

    def euler(self, which, order="xyz"):
        return Rotation.from_matrix(which[:, :3, :3]).as_euler(order)

    def quaternion(self, which):
        return Rotation.from_matrix(which[:, :3, :3]).as_quat()


def stack(*parts):
    return np.concatenate([np.reshape(p, (len(p), -1)) for p in parts], axis=1).astype(np.float64)


def droid_lerobot(t: Truth):
    before = t.poses[:-1]
    delta_euler = Rotation.from_rotvec(t.deltas[:, 3:]).as_euler("xyz")
    return {
        "observation.state.cartesian_position": stack(before[:, :3, 3], t.euler(before)),
        "observation.state.gripper_position": 1 - t.openness[:-1, None],
        "action.cartesian_position": stack(t.targets[:, :3, 3], t.euler(t.targets)),
        "action.cartesian_velocity": stack(t.deltas[:, :3] / 0.075, delta_euler / 0.15),
        "action.gripper_position": 1 - t.command[:, None],
    }


def droid_openx(t: Truth):
    before = t.poses[:-1]
    delta_euler = Rotation.from_rotvec(t.deltas[:, 3:]).as_euler("xyz")
    zeros = np.zeros(len(before))
    return {
        "observation.state": stack(before[:, :3, 3], t.euler(before), zeros, 1 - t.openness[:-1]),
        "action": stack(t.deltas[:, :3] / 0.075, delta_euler / 0.15, t.command),
    }


def libero_action(t: Truth, gripper):
    return stack(t.deltas[:, :3] / 0.05, t.deltas[:, 3:] / 0.5, gripper)


def libero_fingers(openness):
    return np.stack([0.04 * openness, -0.04 * openness], axis=1)


def libero_hdf5(t: Truth):
    """Row i holds action i and the state after it; row 0's action is the one whose start was not stored."""
    after = t.poses[1:]
    return {
        "actions": libero_action(t, 1 - 2 * t.command),
        "obs/ee_pos": after[:, :3, 3],
        "obs/ee_ori": Rotation.from_matrix(after[:, :3, :3]).as_rotvec(),
        "obs/gripper_states": libero_fingers(t.openness[1:]),
    }


def libero_state(t: Truth):
    before = t.poses[:-1]
    rotvec = Rotation.from_matrix(before[:, :3, :3]).as_rotvec()
    return stack(before[:, :3, 3], rotvec, libero_fingers(t.openness[:-1]))


def libero_hdf5_no_noops(t: Truth):
    """The same columns, states before the action."""
    before = t.poses[:-1]
    return {
        "actions": libero_action(t, 1 - 2 * t.command),
        "obs/ee_pos": before[:, :3, 3],
        "obs/ee_ori": Rotation.from_matrix(before[:, :3, :3]).as_rotvec(),
        "obs/gripper_states": libero_fingers(t.openness[:-1]),
    }


def libero_openx(t: Truth):
    return {"observation.state": libero_state(t), "action": libero_action(t, t.command)}


def libero_openpi(t: Truth):
    return {"state": libero_state(t), "actions": libero_action(t, 1 - 2 * t.command)}


def bridge_openx(t: Truth):
    """States relative to the default rotation; actions are differences of the following state's numbers."""
    poses = t.poses.copy()
    poses[:, :3, :3] = poses[:, :3, :3] @ BRIDGE_DEFAULT.T
    numbers = stack(poses[:, :3, 3], np.unwrap(t.euler(poses), axis=0))
    state = stack(numbers[:-1], np.zeros(len(t.command)), t.openness[:-1])
    return {"observation.state": state, "action": stack(np.diff(numbers, axis=0), t.command)}


def quaternion_state(t: Truth):
    before = t.poses[:-1]
    return stack(before[:, :3, 3], t.quaternion(before), 1 - t.openness[:-1])


def fractal_openx(t: Truth):
    return {"observation.state": quaternion_state(t), "action": stack(t.deltas, t.command)}


def berkeley_ur5_openx(t: Truth):
    turn = Rotation.from_rotvec(t.deltas[:, 3:]).as_euler("xyz")
    return {"observation.state": quaternion_state(t), "action": stack(t.deltas[:, :3], turn, t.command)}


def agibot_world(right: Truth, left: Truth | None = None):
    left = left or Truth(seed=9)
    both = lambda name: np.stack([name(left), name(right)], axis=1)  # noqa: E731
    return {
        "observation.states.end.position": both(lambda t: t.poses[:-1, :3, 3]),
        "observation.states.end.orientation": both(lambda t: t.quaternion(t.poses[:-1])),
        "observation.states.effector.position": both(lambda t: 120 - 85 * t.openness[:-1]),
        "actions.end.position": both(lambda t: t.targets[:, :3, 3]),
        "actions.end.orientation": both(lambda t: t.quaternion(t.targets)),
        "actions.effector.position": both(lambda t: 1 - t.command),
    }


LAYOUTS = {
    f.__name__: f
    for f in (droid_lerobot, droid_openx, libero_hdf5, libero_hdf5_no_noops, libero_openx, libero_openpi, bridge_openx,
              fractal_openx, berkeley_ur5_openx, agibot_world)
}  # fmt: skip
