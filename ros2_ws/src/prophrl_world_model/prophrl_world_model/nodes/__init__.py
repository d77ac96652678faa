"""ROS faces of the world model."""
