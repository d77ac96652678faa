"""What runs where: cell and task descriptions, launch files, DDS profile, Foxglove layout and the prophrl command."""
