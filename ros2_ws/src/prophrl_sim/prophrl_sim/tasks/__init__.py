"""The tasks a simulated cell can be set up for, by name."""

from prophrl_sim.tasks.grasp_bottle import GraspBottle
from prophrl_sim.tasks.place_bowl import PlaceBowl
from prophrl_sim.tasks.place_cube import PlaceCube
from prophrl_sim.tasks.pullout_tissue import PulloutTissue

TASK_SCENES = {
    "grasp_bottle": GraspBottle,
    "place_bowl": PlaceBowl,
    "place_cube": PlaceCube,
    "pullout_tissue": PulloutTissue,
}
