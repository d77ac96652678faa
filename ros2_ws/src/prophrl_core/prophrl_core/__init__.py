"""The vocabulary of prophrl: poses, actions, cameras, cells, tasks, bundles, episodes. No ROS, no torch."""
