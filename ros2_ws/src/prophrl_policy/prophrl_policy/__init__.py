"""Flow policies: the one policy interface, the small policy, inference backends and the node that turns camera frames into action chunks."""
