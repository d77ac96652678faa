"""GraspBottle: a standing bottle, 5.5 cm across, is to be lifted off the table."""

import numpy as np

from prophrl_sim.mjcf_text import geom, numbers
from prophrl_sim.tasks.task_scene import TaskScene


class GraspBottle(TaskScene):
    """Success: the bottle's foot is ``success['lift']`` (m) above the table. Size is (radius, height)."""

    objects = ("bottle",)

    def bodies(self) -> str:
        spec = self.task.objects["bottle"]
        r, height = spec.size
        body, cap = 0.72 * height, 0.1 * height  # the straight part, and the screw cap
        neck = height - body
        transverse, axial = spec.mass * (3 * r * r + body * body) / 12, spec.mass * r * r / 2
        return f"""
<body name="bottle">
  <freejoint name="bottle_free"/>
  <inertial pos="0 0 {0.45 * body!r}" mass="{spec.mass!r}"
            diaginertia="{numbers([transverse, transverse, axial])}"/>
  {geom("cylinder", "object_main", [r, body / 2], [0, 0, body / 2], cls="object")}
  {geom("cylinder", "object_second", [r + 0.0006, 0.22 * body], [0, 0, 0.42 * body])}
  {geom("ellipsoid", "object_main", [r, r, 0.6 * neck], [0, 0, body])}
  {geom("cylinder", "object_main", [0.46 * r, neck / 2], [0, 0, body + neck / 2], cls="object")}
  {geom("cylinder", "object_third", [0.54 * r, cap / 2], [0, 0, height - cap / 2 + 0.0005])}
</body>"""

    def place(self, rng: np.random.Generator) -> None:
        x, y, yaw = self.placed_at_random(rng, "bottle")
        self.set_free_body("bottle", [x, y, 0.0005], yaw)

    def satisfied(self) -> bool:
        return float(self.data.body("bottle").xpos[2]) >= self.task.success["lift"]
