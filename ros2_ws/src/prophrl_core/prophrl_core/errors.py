"""Errors meant for the person at the keyboard, and the check of sizes that come from files."""


class UserError(Exception):
    """One line: what was expected, what came, and what to do. Commands print it and exit with code 2."""


def check_whole_numbers(what: str, ranges: dict[str, tuple[object, int, int]]) -> None:
    """UserError unless each value is a whole number in its range, given as (value, lowest, highest) by name."""
    for name, (value, low, high) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{what}: expected {name} from {low} to {high}, got {value!r}; correct the config")
