"""Calibration: what the cameras of a cell see, where they are, how late they are, and how sure that is."""
