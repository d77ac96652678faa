"""Commands of the cell for ``prophrl``."""
