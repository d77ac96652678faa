"""Keyboard: key-down and key-up events of a window of our own to readings."""

import os
from collections.abc import Mapping

from prophrl_cell.teleop.device_config import COMPONENTS, DeviceConfig
from prophrl_cell.teleop.mapping import PRESSED

NO_DISPLAY = "expected a display for its window (DISPLAY or WAYLAND_DISPLAY), found none; use the operator console"


def display_missing(variables: Mapping[str, str] = os.environ) -> str:
    """Why there can be no window, in one line; empty when there can. SDL_VIDEODRIVER is the user's word."""
    return "" if any(variables.get(name) for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY")) else NO_DISPLAY


class KeyState:
    """Keys that are down. Whatever takes the keyboard away from the window lets go of all of them."""

    def __init__(self):
        self.held: frozenset[str] = frozenset()
        self._old: frozenset[str] = frozenset()  # down when the keyboard was lost: the next down may be their repeat

    def down(self, name: str) -> None:
        self.held |= {name} - self._old

    def up(self, name: str) -> None:
        self.held -= {name}
        self._old -= {name}

    def focus_lost(self, held: frozenset[str]) -> None:
        """The keyboard is gone; ``held`` were down until now. They count again after they were seen going up."""
        self._old |= held
        self.held = frozenset()


def unknown_keys(config: DeviceConfig, key_code) -> list[str]:
    """Names in the description that ``key_code`` (pygame.key.key_code) does not know."""
    unknown = []
    for words in (*vars(config.axes).values(), *vars(config.buttons).values()):
        for word in words:
            try:
                key_code(word.removeprefix("-"))
            except ValueError:
                unknown.append(word)
    return unknown


def help_lines(config: DeviceConfig) -> list[str]:
    """What the window shows."""
    moves = [f"{name}: {' '.join(getattr(config.axes, name))}" for name in COMPONENTS if getattr(config.axes, name)]
    does = [
        f"{name.replace('_', ' ')}: {' or '.join(getattr(config.buttons, name))}"
        for name in ("freedrive", *PRESSED) if getattr(config.buttons, name)
    ]  # fmt: skip
    return [f"hold {' or '.join(config.buttons.deadman)} to move the arm ({config.frame} frame)", "", *moves, "", *does]
