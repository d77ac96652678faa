"""``prophrl data inspect``: what is in a set of recordings, what sticks out, and what must not be trained on."""
