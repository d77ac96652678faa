"""Hypothesis without deadlines: the machine may be busy."""

from hypothesis import settings

settings.register_profile("busy_machine", deadline=None, max_examples=50)
settings.load_profile("busy_machine")
