"""The operator console: a local web page. No ROS here; ``nodes/console_node.py`` is its ROS face."""
