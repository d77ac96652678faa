"""MuJoCo's off-screen GL must be chosen before any test module imports mujoco."""

import prophrl_sim  # noqa: F401
