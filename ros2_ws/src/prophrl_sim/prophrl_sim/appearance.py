"""How a scene looks: table, floor, lights, and their variation from one trial to the next."""

import colorsys
import dataclasses

import mujoco
import numpy as np
from prophrl_core import se3

from prophrl_sim.mjcf_text import geom

# (first colour, second colour, MuJoCo built-in pattern) of the table tops a trial may get
_TABLE_TOPS = (
    ("0.72 0.66 0.58", "0.66 0.60 0.52", "checker"),
    ("0.80 0.80 0.78", "0.76 0.76 0.75", "checker"),
    ("0.55 0.58 0.60", "0.51 0.54 0.57", "checker"),
    ("0.62 0.52 0.42", "0.70 0.60 0.49", "gradient"),
    ("0.86 0.83 0.76", "0.78 0.75 0.69", "gradient"),
    ("0.48 0.53 0.47", "0.52 0.57 0.51", "flat"),
)


def appearance_assets(colours: tuple[str, str, str]) -> str:
    """MJCF of textures and materials; ``colours`` are those of the task's objects."""
    tops = "".join(_table_top(i, *top) for i, top in enumerate(_TABLE_TOPS))
    return f"""
<asset>
  <texture name="sky" type="skybox" builtin="gradient" rgb1="0.75 0.78 0.82" rgb2="0.45 0.47 0.50" width="64"
           height="384"/>
  {tops}
  <material name="floor" rgba="0.42 0.43 0.45 1"/>
  <material name="table_leg" rgba="0.30 0.31 0.33 1"/>
  <material name="ur_grey" rgba="0.78 0.80 0.82 1" specular="0.5" shininess="0.5"/>
  <material name="ur_joint" rgba="0.35 0.37 0.40 1" specular="0.4"/>
  <material name="ur_cap" rgba="0.33 0.60 0.80 1" specular="0.3"/>
  <material name="gripper_metal" rgba="0.62 0.64 0.67 1" specular="0.6"/>
  <material name="gripper_black" rgba="0.13 0.13 0.14 1" specular="0.3"/>
  <material name="gripper_pad" rgba="0.95 0.45 0.10 1" specular="0"/>
  <material name="object_main" rgba="{colours[0]} 1" specular="0.4" shininess="0.6"/>
  <material name="object_second" rgba="{colours[1]} 1" specular="0.1" emission="0.2"/>
  <material name="object_third" rgba="{colours[2]} 1" specular="0.2"/>
</asset>"""


def _table_top(i: int, first: str, second: str, pattern: str) -> str:
    repeat = "3 3" if pattern == "checker" else "1 1"
    return f"""
  <texture name="table_{i}" type="2d" builtin="{pattern}" rgb1="{first}" rgb2="{second}" mark="random" random="0.02"
           markrgb="{second}" width="256" height="256"/>
  <material name="table_{i}" texture="table_{i}" texrepeat="{repeat}" specular="0.1" shininess="0.1"/>"""


def world_surroundings() -> str:
    """MJCF of the table (top at z = 0, robot mounted on it), the floor and two shadowless lights."""
    legs = "".join(
        geom("box", "table_leg", [0.03, 0.03, 0.36], [x, y, -0.4])
        for x in (-0.35, 1.05)
        for y in (-0.65, 0.65)
    )
    return f"""
<light name="key" pos="0.2 -0.8 2.2" dir="0.2 0.4 -1" directional="true" castshadow="false"
       diffuse="0.45 0.45 0.45" specular="0.2 0.2 0.2"/>
<light name="fill" pos="1.2 1.0 2.0" dir="-0.4 -0.5 -1" directional="true" castshadow="false"
       diffuse="0.25 0.25 0.25" specular="0 0 0"/>
<geom class="visual" name="floor" type="plane" pos="0 0 -0.76" size="4 4 0.1" material="floor"/>
<geom name="table" type="box" pos="0.35 0 -0.02" size="0.8 0.75 0.02" material="table_0" contype="1"
      conaffinity="7" friction="0.7 0.005 0.0001" solref="0.008 1" group="1"/>
{legs}"""


@dataclasses.dataclass(frozen=True)
class Looks:
    """How far a reset may change the looks; zero (and False) leaves them nominal.

    ``repaint`` is the seed of another nominal look: one table top, lights and object colours of its own.
    """

    table_top: bool = True  # one of several table tops
    light: float = 1.0  # share of the full range of light direction and strength
    colour: float = 1.0  # share of the full range of object colours
    camera_position: float = 0.004  # m, each axis
    camera_angle: float = 0.006  # rad, each axis
    repaint: int | None = None


class Appearance:
    """Redraws lights, colours and camera placement of a compiled model, always from its nominal values."""

    def __init__(self, model: mujoco.MjModel, looks: Looks):
        self.model, self.looks = model, looks
        self.nominal_cam_pos, self.nominal_cam_quat = model.cam_pos.copy(), model.cam_quat.copy()
        self.nominal_light_dir, self.nominal_light_diffuse = model.light_dir.copy(), model.light_diffuse.copy()
        self.nominal_mat_rgba = model.mat_rgba.copy()
        self.table_geom = model.geom("table").id
        self.tops = [model.material(f"table_{i}").id for i in range(len(_TABLE_TOPS))]
        self.object_materials = [model.material(f"object_{n}").id for n in ("main", "second", "third")]
        if looks.repaint is not None:
            self._repaint(np.random.default_rng([looks.repaint, 11]))

    def _repaint(self, rng: np.random.Generator) -> None:
        """Draw the nominal look anew: hues at random, the table tinted, brighter or darker lights."""
        self.tops = [self.tops[rng.integers(len(self.tops))]]
        self.nominal_mat_rgba[self.tops[0], :3] *= rng.uniform(0.65, 1.1, 3)
        for material in self.object_materials:
            hue, saturation, value = rng.uniform((0, 0.1, 0.25), (1, 0.95, 0.95))
            self.nominal_mat_rgba[material, :3] = colorsys.hsv_to_rgb(hue, saturation, value)
        self.nominal_light_dir += rng.uniform(-0.6, 0.6, self.nominal_light_dir.shape)
        self.nominal_light_diffuse *= rng.uniform(0.75, 1.3)

    def draw(self, rng: np.random.Generator) -> None:
        """Change the looks for a new trial; the same generator state gives the same looks."""
        m, r = self.model, self.looks
        m.geom_matid[self.table_geom] = self.tops[rng.integers(len(self.tops))] if r.table_top else self.tops[0]
        m.light_dir[:] = self.nominal_light_dir + r.light * rng.uniform(-0.4, 0.4, self.nominal_light_dir.shape)
        m.light_dir[:] /= np.linalg.norm(m.light_dir, axis=1, keepdims=True)
        strength = 1 + r.light * rng.uniform(-0.35, 0.35, (m.nlight, 1))
        m.light_diffuse[:] = self.nominal_light_diffuse * strength
        m.mat_rgba[:] = self.nominal_mat_rgba
        for material in self.object_materials:
            m.mat_rgba[material, :3] = _shifted(self.nominal_mat_rgba[material, :3], r.colour, rng)
        for camera in range(m.ncam):
            m.cam_pos[camera] = self.nominal_cam_pos[camera] + r.camera_position * rng.uniform(-1, 1, 3)
            turn = se3.rotvec_to_matrix(r.camera_angle * rng.uniform(-1, 1, 3))
            nominal = se3.matrix_from_quat(np.roll(self.nominal_cam_quat[camera], -1))
            m.cam_quat[camera] = np.roll(se3.quat_xyzw(nominal @ turn), 1)


def _shifted(rgb: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """A colour with hue moved by up to 0.04 turns and brightness by up to 20 %, scaled by ``amount``."""
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    dh, ds, dv = amount * rng.uniform(-1, 1, 3)
    s, v = np.clip([s * (1 + 0.15 * ds), v * (1 + 0.2 * dv)], 0, 1)
    return np.array(colorsys.hsv_to_rgb((h + 0.04 * dh) % 1.0, s, v))
