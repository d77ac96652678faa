"""The tasks a simulated cell can be set up for, by name."""

from prophrl_sim.tasks.grasp_bottle import GraspBottle

TASK_SCENES = {"grasp_bottle": GraspBottle}
