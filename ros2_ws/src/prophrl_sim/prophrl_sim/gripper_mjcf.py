"""MJCF of a two-finger parallel gripper of the Robotiq 2F-85's size and stroke.

Frame: tool0, z out of the flange; the fingers slide along tool y. The pinch centre sits at the cell's TCP.
"""

import dataclasses

import numpy as np
from prophrl_core import se3

from prophrl_sim.mjcf_text import geom, numbers


@dataclasses.dataclass(frozen=True)
class GripperGeometry:
    """Metres, kilograms, newtons."""

    stroke: float = 0.085  # distance between the pads, fully open
    pad_length: float = 0.034  # along z
    pad_width: float = 0.022  # along x
    pad_thickness: float = 0.008  # along y
    body_end: float = 0.092  # where the palm is, from the flange
    body_mass: float = 0.70
    finger_mass: float = 0.10
    servo_stiffness: float = 4000.0  # N/m
    pad_friction: float = 1.1


def gripper_body(T_tool0_tcp: np.ndarray, g: GripperGeometry = GripperGeometry()) -> str:
    """Body to nest in the tool0 frame; the pads meet at the height of the TCP (4, 4), on the flange's axis."""
    palm = g.body_end
    tcp_z = float(T_tool0_tcp[2, 3])
    quat = np.roll(se3.quat_xyzw(T_tool0_tcp[:3, :3]), 1)
    return f"""
<body name="gripper" gravcomp="1">
  <inertial pos="0 0 {palm * 0.55!r}" mass="{g.body_mass!r}" diaginertia="0.0012 0.0010 0.0006"/>
  <site name="flange" size="0.002" rgba="0 0 0 0"/>
  <site name="tcp" pos="{numbers(T_tool0_tcp[:3, 3])}" quat="{numbers(quat)}" size="0.002" rgba="0 0 0 0"/>
  {geom("cylinder", "gripper_metal", [0.0375], fromto=[0, 0, 0, 0, 0, 0.014])}
  {geom("capsule", "gripper_black", [0.034], fromto=[0, 0, 0.03, 0, 0, 0.055])}
  {geom("box", "gripper_black", [0.031, 0.045, 0.021], [0, 0, palm - 0.021], cls="robot_contact", name="palm")}
  {geom("box", "gripper_metal", [0.0315, 0.03, 0.006], [0, 0, palm - 0.03])}
  {_finger("left", 1.0, tcp_z, g)}
  {_finger("right", -1.0, tcp_z, g)}
</body>"""


def _finger(side: str, sign: float, tcp_z: float, g: GripperGeometry) -> str:
    inner = sign * g.pad_thickness / 2
    outer = sign * (g.pad_thickness + 0.005)
    pad_top = tcp_z - 0.55 * g.pad_length
    pad_z = tcp_z - 0.55 * g.pad_length + g.pad_length / 2
    link_top = g.body_end - 0.004
    half_link = (pad_top + g.pad_length - link_top) / 2
    link_z = link_top + half_link
    pad_size = [g.pad_width / 2, g.pad_thickness / 2, g.pad_length / 2]
    link_size = [g.pad_width / 2 - 0.002, 0.005, half_link]
    knuckle_size = [g.pad_width / 2 + 0.003, 0.009, 0.016]
    return f"""
  <body name="finger_{side}" gravcomp="1">
    <inertial pos="0 {outer!r} {pad_z!r}" mass="{g.finger_mass!r}" diaginertia="1e-4 1e-4 3e-5"/>
    <joint name="finger_{side}" type="slide" axis="0 {sign!r} 0" range="0 {g.stroke / 2!r}" damping="8"
           armature="0.05"/>
    {geom("box", "gripper_metal", link_size, [0, outer, link_z], cls="robot_contact", name=f"finger_{side}")}
    {geom("box", "gripper_black", knuckle_size, [0, outer, link_top + 0.012])}
    {geom("box", "gripper_pad", pad_size, [0, inner, pad_z], cls="pad", name=f"pad_{side}")}
  </body>"""


def gripper_actuation(g: GripperGeometry = GripperGeometry()) -> str:
    """Tendon (length = opening, m), the coupling of the fingers, one position servo, pad defaults."""
    return f"""
<tendon>
  <fixed name="opening"><joint joint="finger_left" coef="1"/><joint joint="finger_right" coef="1"/></fixed>
</tendon>
<equality>
  <joint joint1="finger_left" joint2="finger_right" polycoef="0 1 0 0 0" solref="0.004 1" solimp="0.95 0.99 0.001"/>
</equality>
<actuator>
  <position name="gripper" tendon="opening" kp="{g.servo_stiffness!r}" kv="120" ctrlrange="-0.01 {g.stroke!r}"
            forcerange="-100 100"/>
</actuator>"""
