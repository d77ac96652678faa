"""Motions that give way to outside forces: freedrive and force mode."""

import numpy as np

from prophrl_sim.controller.motions import Reference
from prophrl_sim.controller.tcp_kinematics import TcpKinematics


class Follow:
    """Freedrive and teach mode: the reference follows the arm, so a push moves it."""

    def __init__(self, measured_q):
        """``measured_q``: function returning the arm's joints (6,)."""
        self._measured_q = measured_q

    def step(self, reference: Reference, dt: float) -> bool:
        reference.q, reference.qd = self._measured_q().copy(), np.zeros(6)
        return False


class ForceMode:
    """Admittance: along selected axes of the task frame the TCP yields until it applies ``wrench``."""

    GAIN = 0.002  # m/s per N (rad/s per Nm), before gain scaling
    DAMPING_SHARE = 0.9

    def __init__(self, kinematics: TcpKinematics, external_wrench):
        """``external_wrench``: function giving the wrench on the TCP (6,), N and Nm, base frame."""
        self._kinematics, self._external_wrench = kinematics, external_wrench
        self._twist = np.zeros(6)
        self.rotation, self.selection = np.eye(3), np.zeros(6)
        self.wrench, self.limits, self.gain_scaling = np.zeros(6), np.zeros(6), 1.0

    def step(self, reference: Reference, dt: float) -> bool:
        external = self._external_wrench()
        measured = np.concatenate([self.rotation.T @ external[:3], self.rotation.T @ external[3:]])
        wanted = self.GAIN * self.gain_scaling * (self.wrench + measured) * self.selection
        limits = np.abs(self.limits)
        wanted = np.minimum(np.maximum(wanted, -limits), limits)
        self._twist = self.DAMPING_SHARE * self._twist + (1.0 - self.DAMPING_SHARE) * wanted
        twist = np.concatenate([self.rotation @ self._twist[:3], self.rotation @ self._twist[3:]])
        reference.qd = self._kinematics.joint_speeds(reference.q, twist)
        reference.q = reference.q + reference.qd * dt
        return False
