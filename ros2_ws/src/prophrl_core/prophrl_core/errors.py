"""Errors meant for the person at the keyboard."""


class UserError(Exception):
    """One line: what was expected, what came, and what to do. Commands print it and exit with code 2."""
