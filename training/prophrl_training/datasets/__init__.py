"""LeRobot datasets without torch: written from episodes, read from anywhere."""
