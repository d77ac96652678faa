"""The simulated cell: MuJoCo scenes and tasks, an emulated UR controller, simulated cameras."""

from prophrl_sim import gl

gl.select()
