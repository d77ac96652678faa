"""Grippers behind one small interface: the Robotiq socket and tool digital outputs."""
