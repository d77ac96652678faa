"""The robot cell: the arm over RTDE behind its safety envelope, the gripper, the RealSense cameras, the episode recorder and the trial session."""
