"""Published kinematics, masses and limits of Universal Robots arms.

Sources: Universal Robots' article "DH parameters for calculations of kinematics and dynamics", the
user manuals for limits, and the parameter files of Universal_Robots_ROS2_Description, from which the
centres of mass and inertias were carried over into Denavit-Hartenberg frames.
"""

import dataclasses
import math

import numpy as np

JOINT_NAMES = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)
_HALF_PI = math.pi / 2


@dataclasses.dataclass(frozen=True)
class URModel:
    """One arm. Link i's frame is the standard DH frame after joint i (i = 1..6).

    ``a``, ``d`` in metres; ``masses`` kg; ``centres_of_mass`` m in DH frame i; ``inertias`` kg m^2 about
    the centre of mass in DH axes as (ixx, iyy, izz, ixy, ixz, iyz); limits rad, rad/s, Nm.
    """

    name: str
    a: tuple[float, ...]
    d: tuple[float, ...]
    masses: tuple[float, ...]
    centres_of_mass: tuple[tuple[float, float, float], ...]
    inertias: tuple[tuple[float, float, float, float, float, float], ...]
    max_speed: tuple[float, ...]
    max_torque: tuple[float, ...]
    alpha: tuple[float, ...] = (_HALF_PI, 0.0, 0.0, _HALF_PI, -_HALF_PI, 0.0)
    min_position: tuple[float, ...] = tuple(math.radians(v) for v in (-360, -360, -180, -360, -360, -360))
    max_position: tuple[float, ...] = tuple(math.radians(v) for v in (360, 360, 180, 360, 360, 360))

    @property
    def position_limits(self) -> np.ndarray:
        """Lower and upper joint limits, (2, 6) rad."""
        return np.array([self.min_position, self.max_position])


def _model(name, a2, a3, d1, d4, d5, d6, masses, centres_of_mass, inertias, speed_deg, torque) -> URModel:
    return URModel(
        name=name,
        a=(0.0, a2, a3, 0.0, 0.0, 0.0),
        d=(d1, 0.0, 0.0, d4, d5, d6),
        masses=masses,
        centres_of_mass=centres_of_mass,
        inertias=inertias,
        max_speed=tuple(math.radians(v) for v in speed_deg),
        max_torque=torque,
    )


UR_MODELS: dict[str, URModel] = {
    m.name: m
    for m in (
        _model(
            "ur5e", -0.425, -0.3922, 0.1625, 0.1333, 0.0997, 0.0996,
            (3.761, 8.058, 2.846, 1.37, 1.3, 0.365),
            ((0.0, -0.02561, 0.00193), (0.2125, 0.0, 0.11336), (0.15, 0.0, 0.0265),
             (0.0, -0.0018, 0.01634), (0.0, 0.0018, 0.01634), (0.0, 0.0, -0.00116)),
            ((0.01027, 0.00666, 0.01027, 0.0, 0.0, 0.0), (0.01511, 0.13389, 0.13389, 0.0, 0.0, 0.0),
             (0.00409, 0.03121, 0.03121, 0.0, 0.0, 0.0), (0.00256, 0.00219, 0.00256, 0.0, 0.0, 0.0),
             (0.00256, 0.00219, 0.00256, 0.0, 0.0, 0.0), (0.0001, 0.0001, 0.00013, 0.0, 0.0, 0.0)),
            (180,) * 6, (150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
        ),
        _model(
            "ur10e", -0.6127, -0.57155, 0.1807, 0.17415, 0.11985, 0.11655,
            (7.369, 13.051, 3.989, 2.1, 1.98, 0.615),
            ((0.021, 0.0, 0.027), (0.38, 0.0, 0.158), (0.24, 0.0, 0.068),
             (0.0, 0.007, 0.018), (0.0, 0.007, 0.018), (0.0, 0.0, -0.026)),
            ((0.03408, 0.03529, 0.02156, 2e-05, -0.00425, 8e-05),
             (0.02814, 0.77068, 0.76943, 5e-05, -0.01561, 2e-05),
             (0.01014, 0.30928, 0.30646, 8e-05, 0.00916, 0.0),
             (0.00296, 0.00222, 0.00258, -1e-05, 0.0, -0.00024),
             (0.00296, 0.00222, 0.00258, -1e-05, 0.0, -0.00024),
             (0.0004, 0.00041, 0.00034, 0.0, 0.0, 0.0)),
            (120, 120, 180, 180, 180, 180), (330.0, 330.0, 150.0, 54.0, 54.0, 54.0),
        ),
        _model(
            "ur20", -0.862, -0.7287, 0.2363, 0.201, 0.1593, 0.1543,
            (16.343, 29.632, 7.879, 3.054, 3.126, 0.926),
            ((0.0, -0.061, 0.0062), (0.5226, 0.0, 0.2098), (0.3234, 0.0, 0.0604),
             (0.0, -0.0026, 0.0393), (0.0, 0.0024, 0.0379), (0.0, 0.0, -0.0293)),
            ((0.08866, 0.07632, 0.08418, -0.00011, -0.00011, 0.0072),
             (0.1467, 4.6659, 4.6348, 0.00019, -0.05163, 4e-05),
             (0.02612, 0.75763, 0.75327, -5e-05, -0.02898, -1e-05),
             (0.00555, 0.00537, 0.00402, -1e-05, -2e-05, 0.00036),
             (0.00586, 0.00578, 0.00427, -1e-05, -2e-05, -0.00037),
             (0.00092, 0.00091, 0.00117, 0.0, 0.0, 0.0)),
            (120, 120, 150, 210, 210, 210), (738.0, 738.0, 433.0, 107.0, 107.0, 107.0),
        ),
        _model(
            "ur30", -0.637, -0.5037, 0.2363, 0.201, 0.1593, 0.1543,
            (16.343, 28.542, 7.156, 3.054, 3.126, 0.926),
            ((-0.0001, -0.06, 0.0069), (0.3894, 0.0, 0.2103), (0.2257, 0.0, 0.0629),
             (0.0, -0.0048, 0.0353), (0.0, 0.0046, 0.0341), (0.0, 0.0, -0.0293)),
            ((0.03351, 0.03374, 0.021, 2e-05, -1e-05, 0.00374),
             (0.02796, 0.47558, 0.47635, -0.0001, -0.0072, 3e-05),
             (0.01091, 0.1206, 0.11714, 6e-05, 0.01012, 1e-05),
             (0.00609, 0.00245, 0.00579, -1e-05, 0.0, 0.00083),
             (0.00389, 0.00219, 0.00363, 1e-05, 0.0, -0.00045),
             (0.00117, 0.00118, 0.00084, 0.0, 0.0, 0.0)),
            (120, 120, 150, 210, 210, 210), (738.0, 738.0, 433.0, 107.0, 107.0, 107.0),
        ),
    )
}
