"""Teleoperation devices: what they say, what it asks of the arm, and who of them has the arm. No ROS."""
