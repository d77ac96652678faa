"""PulloutTissue: a soft tissue that sticks out of a box is to be pulled clear of it."""

import mujoco
import numpy as np

from prophrl_sim.mjcf_text import geom, numbers
from prophrl_sim.tasks.task_scene import TaskScene

COUNT = 7  # vertices along each edge
STICKS_OUT = 0.045  # m of tissue above the box
PINCH_OPENING = 0.003  # m between the pads under which the tissue counts as pinched
PINCH_REACH = 0.03  # m from the TCP to the nearest held vertex


class PulloutTissue(TaskScene):
    """Success: every point of the tissue is ``success['clearance']`` (m) above the box.

    The tissue is a square sheet of elastic triangles. Until fingers pinch it, the row at its top is held in
    place, as a real box's slot does. Sizes are the box's half extents and the tissue's edge.
    """

    integrator = "discrete"
    objects = ("box", "tissue")
    colours = ("0.22 0.42 0.72", "0.96 0.96 0.94", "0.90 0.75 0.30")

    def bodies(self) -> str:
        x, y, z = self.task.objects["box"].size
        tissue = self.task.objects["tissue"]
        edge = tissue.size[0]
        top = 2 * z
        wall = 0.003
        lid = y / 2 - 0.006  # half depth of the lid on either side of the slot
        walls = [
            *(([side * (x - wall), 0, z], [wall, y, z]) for side in (1, -1)),
            *(([0, side * (y - wall), z], [x, wall, z]) for side in (1, -1)),
            *(([0, side * (y / 2 + 0.006), top - wall], [x, lid, wall]) for side in (1, -1)),
        ]
        shell = "".join(geom("box", "object_main", size, pos, cls="object") for pos, size in walls)
        spacing = numbers([edge / (COUNT - 1), edge / (COUNT - 1), 0.01])
        return f"""
<body name="box">
  {shell}
  {geom("box", "object_third", [0.6 * x, 0.0005, 0.4 * z], [0, y + 0.0006, z])}
  {geom("box", "object_third", [0.0005, 0.6 * y, 0.4 * z], [x + 0.0006, 0, z])}
  <flexcomp name="tissue" type="grid" dim="2" count="{COUNT} {COUNT} 1" spacing="{spacing}" radius="0.0012"
            pos="0 0 {top + STICKS_OUT - edge / 2!r}" euler="1.5707963267948966 0 0" mass="{tissue.mass!r}"
            material="object_second">
    <edge equality="true"/>
    <contact contype="4" conaffinity="0" selfcollide="none" condim="4" friction="1.1 0.01 0.0001" solref="0.008 1"/>
  </flexcomp>
</body>"""

    def sections(self) -> str:
        held = "".join(
            f'<connect name="held_{i}" body1="{self._vertex(i, COUNT - 1)}" body2="world" anchor="0 0 0"/>'
            for i in range(COUNT)
        )
        return f"<equality>{held}</equality>"

    @staticmethod
    def _vertex(i: int, j: int) -> str:
        return f"tissue_{i * COUNT + j}"

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        super().bind(model, data)
        self._held_bodies = [model.body(self._vertex(i, COUNT - 1)).id for i in range(COUNT)]
        self._holds = [model.equality(f"held_{i}").id for i in range(COUNT)]

    def place(self, rng: np.random.Generator) -> None:
        x, y, yaw = self.placed_at_random(rng, "box")
        self.set_fixed_body("box", [x, y, 0.0], yaw)
        mujoco.mj_kinematics(self.model, self.data)
        for body, hold in zip(self._held_bodies, self._holds):
            self.model.eq_data[hold, 3:6] = self.data.xpos[body]

    def advance(self, opening: float, tcp_position: np.ndarray) -> None:
        super().advance(opening, tcp_position)
        if self.held and opening < PINCH_OPENING:
            nearest = np.linalg.norm(self.data.xpos[self._held_bodies] - tcp_position, axis=1).min()
            if nearest < PINCH_REACH:
                self.data.eq_active[self._holds] = 0

    @property
    def held(self) -> bool:
        """The slot still holds the tissue."""
        return bool(self.data.eq_active[self._holds[0]])

    def satisfied(self) -> bool:
        top = 2 * self.task.objects["box"].size[2]
        return bool(self.data.flexvert_xpos[:, 2].min() > top + self.task.success["clearance"])

    def truth(self) -> dict[str, np.ndarray]:
        """The box's pose, and a frame at the middle of the tissue's held edge."""
        tissue = self.pose("box")
        tissue[:3, 3] = self.data.xpos[self._held_bodies].mean(axis=0)
        return {"box": self.pose("box"), "tissue": tissue}
