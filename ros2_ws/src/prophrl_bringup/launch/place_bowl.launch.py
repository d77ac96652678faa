"""ros2 launch prophrl_bringup place_bowl.launch.py cell:=sim trials:=3 (all arguments: --show-args)."""

from prophrl_bringup.launch_session import task_launch_description


def generate_launch_description():
    return task_launch_description("place_bowl")
