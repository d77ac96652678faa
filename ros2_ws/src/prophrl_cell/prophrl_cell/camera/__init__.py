"""RealSense cameras: sources, clock mapping and stream health; no ROS."""
