"""The thread that runs SDL: SDL wants its window, its events and its gamepads on one thread."""

import dataclasses
import os
import threading
import time

from prophrl_cell.teleop import gamepad, keyboard
from prophrl_cell.teleop.device_config import DeviceConfig
from prophrl_cell.teleop.reading import BY_RADIO, Latest, Reading, radio_stamp

PERIOD_S = 0.005
NO_PAD = "expected a gamepad, found none; plug it in or switch it on"
WINDOW, TEXT_SIZE, MARGIN = (420, 480), 20, 12
SETTINGS = {
    "SDL_NO_SIGNAL_HANDLERS": "1", "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1", "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}  # fmt: skip


class SdlReader:
    """Reads the keyboard, the gamepads, or both. ``None`` for what is not wanted."""

    def __init__(self, keys: tuple[DeviceConfig, Latest] | None, pads: tuple[DeviceConfig, Latest] | None):
        self._keys_config, self._keys = keys or (None, None)
        self._pads_config, self._pads = pads or (None, None)
        self._key_state = keyboard.KeyState()
        self._pad = self._standard = None
        self._pad_heard = 0.0  # monotonic s of its last event
        self._refused: set[int] = set()  # instances of pads that may not be used
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sdl", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
        try:
            import pygame
            from pygame._sdl2 import controller
        except ImportError as error:
            self._lose_all(f"expected pygame ({error}); run: make setup EXTRAS=teleop")
            return
        self._pygame, self._controller = pygame, controller
        try:
            self._open()
            while not self._stop.is_set():
                held, events = self._key_state.held, pygame.event.get()
                for event in events:
                    self._handle(event)
                if any(event.type == pygame.WINDOWFOCUSLOST for event in events):
                    self._key_state.focus_lost(held)  # SDL has let the keys go just before
                self._look(time.monotonic())
                time.sleep(PERIOD_S)
        except pygame.error as error:
            self._lose_all(f"SDL: {error}; start teleop_node again")
        finally:
            self._pad = self._standard = None
            pygame.quit()

    def _lose_all(self, reason: str) -> None:
        for latest in (self._keys, self._pads):
            if latest is not None:
                latest.lose(reason)

    def _open(self) -> None:
        pygame = self._pygame
        no_window = keyboard.display_missing() if self._keys is not None else keyboard.NO_DISPLAY
        if not no_window:
            try:
                pygame.display.init()
                self._open_window()
            except pygame.error as error:
                no_window = f"expected to open a window, got: {error}; use the operator console"
                pygame.display.quit()
        if no_window:
            os.environ["SDL_VIDEODRIVER"] = "dummy"  # SDL delivers no gamepad events without a video driver
            pygame.display.init()
            if self._keys is not None:
                self._keys.lose(no_window)
                self._keys = None
        if self._pads is not None:
            self._pads.lose(NO_PAD)
            pygame.joystick.init()
            self._controller.init()

    def _open_window(self) -> None:
        pygame = self._pygame
        unknown = keyboard.unknown_keys(self._keys_config, pygame.key.key_code)
        if unknown:
            raise pygame.error(f"unknown keys {', '.join(unknown)} in its description")
        screen = pygame.display.set_mode(WINDOW)
        pygame.display.set_caption("prophrl: keyboard teleoperation")
        pygame.font.init()
        font = pygame.font.Font(None, TEXT_SIZE)
        screen.fill("white")
        for row, line in enumerate(keyboard.help_lines(self._keys_config)):
            screen.blit(font.render(line, True, "black"), (MARGIN, MARGIN + row * TEXT_SIZE))
        pygame.display.flip()

    def _handle(self, event) -> None:
        pygame = self._pygame
        if event.type == pygame.JOYDEVICEADDED and self._pads is not None and self._pad is None:
            self._take_pad(event.device_index)
        elif event.type == pygame.JOYDEVICEREMOVED and self._pad is not None:
            if event.instance_id == self._pad.get_instance_id():
                self._drop_pad()
        elif self._pad is not None and getattr(event, "instance_id", None) == self._pad.get_instance_id():
            self._pad_heard = time.monotonic()
        elif self._keys is None:
            return
        elif event.type == pygame.KEYDOWN:
            self._key_state.down(pygame.key.name(event.key))
        elif event.type == pygame.KEYUP:
            self._key_state.up(pygame.key.name(event.key))
        elif event.type == pygame.QUIT:
            self._keys.lose("its window was closed; start teleop_node again")
            self._keys = None
            return
        if event.type in (pygame.KEYDOWN, pygame.KEYUP):
            self._keys.put(Reading(time.monotonic(), {}, self._key_state.held))

    def _take_pad(self, index: int) -> None:
        pad = self._pygame.joystick.Joystick(index)
        if pad.get_instance_id() in self._refused or self._refuses(pad):
            return
        self._pad, self._pad_heard = pad, time.monotonic()
        known = self._controller.is_controller(index)
        self._standard = self._controller.Controller.from_joystick(self._pad) if known else None

    def _refuses(self, pad) -> bool:
        """Whether a pad may not be used; its battery may be known some time after it came."""
        if self._pads_config.wireless or not gamepad.by_radio(pad.get_power_level(), pad.get_guid()):
            return False
        self._refused.add(pad.get_instance_id())
        self._pads.lose(BY_RADIO.format(pad.get_name()))
        return True

    def _drop_pad(self, gone: bool = True) -> None:
        """The pad is gone or refused; another one that is there takes its place."""
        name, self._pad, self._standard = self._pad.get_name(), None, None
        if gone:
            self._pads.lose(f"{name}: gone; plug it in or switch it on again")
        for index in range(self._pygame.joystick.get_count()):
            if self._pad is None:
                self._take_pad(index)

    def _pad_reading(self, reading: Reading) -> Reading:
        if not self._pads_config.wireless:
            return reading
        deadman = not reading.held.isdisjoint(self._pads_config.buttons.deadman)
        return dataclasses.replace(reading, stamp=radio_stamp(reading.stamp, self._pad_heard, deadman))

    def _look(self, now: float) -> None:
        if self._keys is not None:
            self._keys.put(Reading(now, {}, self._key_state.held))
        if self._pad is not None and self._refuses(self._pad):
            self._drop_pad(gone=False)
        if self._standard is not None:
            axes = [self._standard.get_axis(number) for number in range(len(gamepad.AXES))]
            buttons = [self._standard.get_button(number) for number in range(len(gamepad.BUTTONS))]
            self._pads.put(self._pad_reading(gamepad.standard_reading(now, axes, buttons)))
        elif self._pad is not None:
            axes = [self._pad.get_axis(number) for number in range(self._pad.get_numaxes())]
            buttons = [self._pad.get_button(number) for number in range(self._pad.get_numbuttons())]
            hats = [self._pad.get_hat(number) for number in range(self._pad.get_numhats())]
            self._pads.put(self._pad_reading(gamepad.numbered_reading(now, axes, buttons, hats)))
