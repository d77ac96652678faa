"""Flow policies: the one interface, the small policy, inference backends, and the node from frames to chunks."""
