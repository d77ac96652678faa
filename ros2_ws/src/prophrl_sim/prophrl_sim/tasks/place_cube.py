"""PlaceCube: a cube is to lie on a coloured pad, let go."""

import numpy as np

from prophrl_sim.mjcf_text import geom
from prophrl_sim.tasks.task_scene import TaskScene


class PlaceCube(TaskScene):
    """Success: centres within ``success['distance']`` (m) horizontally, the cube on the table, at rest, released.

    Sizes are the cube's edge and the pad's half edge.
    """

    objects = ("cube", "pad")
    colours = ("0.82 0.16 0.12", "0.16 0.32 0.72", "0.95 0.80 0.20")

    def bodies(self) -> str:
        cube, pad = self.task.objects["cube"], self.task.objects["pad"]
        half, reach = cube.size[0] / 2, pad.size[0]
        inertia = cube.mass * cube.size[0] ** 2 / 6
        return f"""
<body name="pad">
  {geom("box", "object_second", [reach, reach, 0.001])}
  {geom("box", "object_third", [0.55 * reach, 0.55 * reach, 0.0014])}
</body>
<body name="cube">
  <freejoint name="cube_free"/>
  <inertial pos="0 0 0" mass="{cube.mass!r}" diaginertia="{inertia!r} {inertia!r} {inertia!r}"/>
  {geom("box", "object_main", [half, half, half], cls="object")}
</body>"""

    def place(self, rng: np.random.Generator) -> None:
        x, y, yaw = self.placed_at_random(rng, "cube")
        self.set_free_body("cube", [x, y, self.task.objects["cube"].size[0] / 2 + 0.0005], yaw)
        x, y, yaw = self.placed_at_random(rng, "pad")
        self.set_fixed_body("pad", [x, y, 0.001], yaw)

    def satisfied(self) -> bool:
        edge = self.task.objects["cube"].size[0]
        return (
            self.horizontal_distance("cube", "pad") < self.task.success["distance"]
            and self.data.body("cube").xpos[2] < 0.6 * edge
            and self.opening > edge + 0.012
            and self.speed("cube") < 0.01
        )
