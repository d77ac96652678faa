"""Foreign robot datasets in our words: one card per dataset family, and the mapping that a card describes."""
