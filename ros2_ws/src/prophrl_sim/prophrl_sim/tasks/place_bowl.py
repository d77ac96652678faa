"""PlaceBowl: a bowl, taken by its rim, is to stand on a plate, let go."""

import math

import numpy as np

from prophrl_sim.mjcf_text import geom, numbers
from prophrl_sim.tasks.task_scene import TaskScene

WALL = 0.005  # m thick
FACETS = 16
FLARE = 0.12  # rad, the wall leans outward


class PlaceBowl(TaskScene):
    """Success: centres within ``success['distance']`` (m) horizontally, the bowl upright, at rest, released.

    Sizes are (rim radius, height) of the bowl and the plate's radius. The bowl is a disc and a ring of boxes.
    """

    objects = ("bowl", "plate")
    colours = ("0.90 0.50 0.12", "0.93 0.94 0.96", "0.25 0.45 0.70")

    def bodies(self) -> str:
        bowl, plate = self.task.objects["bowl"], self.task.objects["plate"]
        (rim, height), reach = bowl.size, plate.size[0]
        foot = rim - height * math.tan(FLARE)
        middle = (rim + foot) / 2
        half_width = middle * math.tan(math.pi / FACETS) + 0.001
        walls = "".join(
            geom(
                "box", "object_main", [WALL / 2, half_width, height / 2],
                [middle * np.cos(a), middle * np.sin(a), height / 2],
                cls="object", quat=numbers(_facet_quat(a)),
            )
            for a in np.arange(FACETS) * 2 * math.pi / FACETS
        )
        across = bowl.mass * (rim * rim / 4 + height * height / 8)
        return f"""
<body name="plate">
  {geom("cylinder", "object_third", [reach, 0.001])}
  {geom("cylinder", "object_second", [0.9 * reach, 0.0015])}
</body>
<body name="bowl">
  <freejoint name="bowl_free"/>
  <inertial pos="0 0 {0.35 * height!r}" mass="{bowl.mass!r}"
            diaginertia="{numbers([across, across, bowl.mass * rim * rim / 2])}"/>
  {geom("cylinder", "object_main", [foot, 0.003], [0, 0, 0.003], cls="object")}
  {walls}
</body>"""

    def place(self, rng: np.random.Generator) -> None:
        x, y, yaw = self.placed_at_random(rng, "bowl")
        self.set_free_body("bowl", [x, y, 0.0005], yaw)
        x, y, yaw = self.placed_at_random(rng, "plate")
        self.set_fixed_body("plate", [x, y, 0.001], yaw)

    def satisfied(self) -> bool:
        bowl = self.data.body("bowl")
        return (
            self.horizontal_distance("bowl", "plate") < self.task.success["distance"]
            and bowl.xpos[2] < 0.01
            and bowl.xmat[8] > 0.97
            and self.opening > 0.04
            and self.speed("bowl") < 0.01
        )


def _facet_quat(angle: float) -> np.ndarray:
    """wxyz: turned to ``angle`` about z, then leaning outward."""
    turn = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
    c, s = np.cos(FLARE / 2), np.sin(FLARE / 2)
    w, z = turn[0], turn[3]
    return np.array([w * c, -z * s, w * s, z * c])
