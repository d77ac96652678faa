"""MJCF of a UR arm, generated from the one robot description in ``prophrl_core.ur_kinematics``.

Body i turns about z of DH frame i-1; its children sit at the fixed rest of DH row i, so MuJoCo's forward
kinematics is the DH product itself. Collision and looks are primitives placed from the same DH numbers.
"""

import numpy as np
from prophrl_core import se3
from prophrl_core.ur_kinematics import JOINT_NAMES, URModel

from prophrl_sim.mjcf_text import geom, numbers

_STIFFNESS = (6000.0, 6000.0, 6000.0, 3000.0, 3000.0, 3000.0)


def _wxyz(rotation: np.ndarray) -> np.ndarray:
    return np.roll(se3.quat_xyzw(rotation), 1)


def fixed_part(model: URModel, i: int) -> np.ndarray:
    """Pose (4, 4) of DH frame i seen from body i (joint i at zero): Tz(d) Tx(a) Rx(alpha)."""
    c, s = np.cos(model.alpha[i]), np.sin(model.alpha[i])
    rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return se3.transform(rotation, np.array([model.a[i], 0.0, model.d[i]]))


def robot_body(model: URModel, tool: str) -> str:
    """Nested bodies of the arm at the world origin, with ``tool`` (MJCF text) inside the tool0 frame."""
    T_5_6 = fixed_part(model, 5)
    quat = numbers(_wxyz(T_5_6[:3, :3]))
    inner = f'<body name="tool0" pos="{numbers(T_5_6[:3, 3])}" quat="{quat}">{tool}</body>'
    looks = _link_looks(model)
    for i in reversed(range(6)):
        parent = np.eye(4) if i == 0 else fixed_part(model, i - 1)
        limits = numbers(model.position_limits[:, i])
        inner = f"""
<body name="link_{i + 1}" pos="{numbers(parent[:3, 3])}" quat="{numbers(_wxyz(parent[:3, :3]))}" gravcomp="1">
  {_inertial(model, i)}
  <joint name="{JOINT_NAMES[i]}" axis="0 0 1" range="{limits}" armature="0.1" damping="1"/>
  {looks[i]}
  {inner}
</body>"""
    foot = model.d[0]
    base = geom("cylinder", "ur_joint", [0.5 * foot], fromto=[0, 0, 0, 0, 0, 0.02])
    base += geom("cylinder", "ur_grey", [0.36 * foot], fromto=[0, 0, 0.02, 0, 0, 0.42 * foot])
    return base + inner


def robot_actuators(model: URModel) -> str:
    """Six position servos in joint order, limited to the published joint torques."""
    rows = [
        f'<position name="{name}" joint="{name}" kp="{kp!r}" dampratio="1" forcerange="{-torque!r} {torque!r}"/>'
        for name, kp, torque in zip(JOINT_NAMES, _STIFFNESS, map(float, model.max_torque))
    ]
    return "<actuator>" + "".join(rows) + "</actuator>"


def _inertial(model: URModel, i: int) -> str:
    T = fixed_part(model, i)
    com = T[:3, :3] @ np.asarray(model.centres_of_mass[i]) + T[:3, 3]
    xx, yy, zz, xy, xz, yz = model.inertias[i]
    m = T[:3, :3] @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ T[:3, :3].T
    full = [m[0, 0], m[1, 1], m[2, 2], m[0, 1], m[0, 2], m[1, 2]]
    return f'<inertial pos="{numbers(com)}" mass="{float(model.masses[i])!r}" fullinertia="{numbers(full)}"/>'


def _link_looks(model: URModel) -> list[str]:
    """Primitive geoms of the six links, in body frames (joint i turns about the body's z)."""
    size = model.d[0]  # sizes of housings scale with the base height
    r1, r2, r3 = 0.36 * size, 0.30 * size, 0.20 * size
    upper, fore = 0.92 * model.d[3], 0.26 * model.d[3]  # the two arm tubes, offset along joints 2 and 3
    a2, a3, d4, d5, d6 = model.a[1], model.a[2], model.d[3], model.d[4], model.d[5]

    def tube(p, q, r):
        return geom("capsule", "ur_grey", [r], fromto=[*p, *q], cls="robot_contact")

    def barrel(low, high, r, material="ur_grey"):
        return geom("cylinder", material, [r], fromto=[0, 0, low, 0, 0, high])

    def housing(low, high, r, cap):
        """A joint housing along z with a blue cap, ``cap`` thick, on its far end."""
        return barrel(low, high, r) + barrel(high, high + cap, 0.92 * r, "ur_cap")

    return [
        housing(0.45 * size, size + 0.6 * r1, r1, 0.06 * r1),
        housing(-0.3 * upper, upper + 0.75 * r1, r1, 0.012) + tube((0, 0, upper), (a2, 0, upper), 0.75 * r1),
        housing(fore - r2, upper + r2, r2, 0.012) + tube((0, 0, fore), (a3, 0, fore), 0.75 * r2),
        housing(fore, d4 + 0.8 * r3, r3, 0.012),
        housing(0.0, d5 + 0.8 * r3, r3, 0.012),
        barrel(0, d6, 0.9 * r3) + barrel(d6 - 0.012, d6 - 0.002, 0.93 * r3, "ur_joint"),
    ]
