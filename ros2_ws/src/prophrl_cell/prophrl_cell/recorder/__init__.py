"""Episode recording: MCAP writing, the writer thread, repair; no ROS."""
