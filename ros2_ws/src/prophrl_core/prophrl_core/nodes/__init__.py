"""What every node shares; the only place in core that needs ROS."""
