"""Hands on devices for tests: runs the real teleop_node with a SpaceMouse, a gamepad and a keyboard that obey a socket.

``python -m system.teleop_hands SOCKET --ros-args ...``. The stand-ins lie beyond the interfaces that the node uses: a
HID device below hidapi's calls, a virtual joystick inside SDL, key events in SDL's queue.
"""

import contextlib
import ctypes
import json
import queue
import socket
import sys
import threading
import time
import types
from pathlib import Path

REPORT_PERIOD_S = 0.008  # of a deflected SpaceMouse
GAMECONTROLLER, AXES, BUTTONS = 1, 6, 15  # of SDL_JoystickAttachVirtual
WINDOWEVENT, KEYDOWN, KEYUP = 0x200, 0x300, 0x301
FOCUS_LOST = 13


class HidDevice:
    """A SpaceMouse as hidapi shows it; it repeats its last motion reports while it is deflected, as a real one does."""

    def __init__(self):
        self.plugged = False
        self._reports: queue.Queue[bytes] = queue.Queue()
        self._repeated: list[bytes] = []
        threading.Thread(target=self._repeat, daemon=True).start()

    def say(self, reports: list[bytes]) -> None:
        self._repeated = [data for data in reports if data[0] in (1, 2)] or self._repeated
        for data in reports:
            self._reports.put(data)

    def _repeat(self) -> None:
        while True:
            time.sleep(REPORT_PERIOD_S)
            if self.plugged and any(any(data[1:]) for data in self._repeated):
                for data in self._repeated:
                    self._reports.put(data)

    def module(self) -> types.ModuleType:
        """What stands in for the ``hidraw`` module."""
        mouse, module = self, types.ModuleType("hidraw")

        class Device:
            def open_path(self, path: bytes) -> None:
                assert path == b"/dev/hidraw7"

            def read(self, length: int, timeout_ms: int) -> list[int]:
                if not mouse.plugged:
                    raise OSError("read error")
                with contextlib.suppress(queue.Empty):
                    return list(mouse._reports.get(timeout=timeout_ms / 1e3)[:length])
                return []

            def close(self) -> None: ...

        info = {
            "vendor_id": 0x256F, "product_id": 0xC635, "usage_page": 1, "usage": 8, "path": b"/dev/hidraw7",
            "product_string": "SpaceMouse Compact",
        }  # fmt: skip
        module.device = Device
        module.enumerate = lambda: [info] if mouse.plugged else []
        return module


class Keysym(ctypes.Structure):
    _fields_ = (
        ("scancode", ctypes.c_int32), ("sym", ctypes.c_int32), ("mod", ctypes.c_uint16), ("unused", ctypes.c_uint32),
    )  # fmt: skip


class KeyEvent(ctypes.Structure):
    """SDL_KeyboardEvent, as long as SDL_Event."""

    _fields_ = (
        ("type", ctypes.c_uint32), ("timestamp", ctypes.c_uint32), ("window", ctypes.c_uint32),
        ("state", ctypes.c_uint8), ("repeat", ctypes.c_uint8), ("padding", ctypes.c_uint8 * 2),
        ("keysym", Keysym), ("rest", ctypes.c_uint8 * 24),
    )  # fmt: skip


class WindowEvent(ctypes.Structure):
    """SDL_WindowEvent, as long as SDL_Event."""

    _fields_ = (
        ("type", ctypes.c_uint32), ("timestamp", ctypes.c_uint32), ("window", ctypes.c_uint32),
        ("event", ctypes.c_uint8), ("rest", ctypes.c_uint8 * 43),
    )  # fmt: skip


class Sdl:
    """The SDL that pygame brings, called directly."""

    def __init__(self):
        import pygame

        library = next((Path(pygame.__file__).parents[1] / "pygame.libs").glob("libSDL2-2*"))
        self._sdl, self._pygame = ctypes.CDLL(str(library)), pygame
        self._sdl.SDL_JoystickOpen.restype = ctypes.c_void_p

    def attach(self) -> None:
        self._index = self._sdl.SDL_JoystickAttachVirtual(GAMECONTROLLER, AXES, BUTTONS, 0)
        assert self._index >= 0, self._pygame.get_error()
        self._pad = ctypes.c_void_p(self._sdl.SDL_JoystickOpen(self._index))

    def pad(self, axes: dict[str, int], buttons: dict[str, int]) -> None:
        for number, value in axes.items():
            assert self._sdl.SDL_JoystickSetVirtualAxis(self._pad, int(number), ctypes.c_int16(value)) == 0
        for number, value in buttons.items():
            assert self._sdl.SDL_JoystickSetVirtualButton(self._pad, int(number), ctypes.c_uint8(value)) == 0

    def detach(self) -> None:
        assert self._sdl.SDL_JoystickDetachVirtual(self._index) == 0

    def key(self, down: bool, name: str) -> None:
        keysym = Keysym(sym=self._pygame.key.key_code(name))
        event = KeyEvent(type=KEYDOWN if down else KEYUP, state=down, keysym=keysym)
        assert self._sdl.SDL_PushEvent(ctypes.byref(event)) == 1

    def lose_focus(self) -> None:
        event = WindowEvent(type=WINDOWEVENT, event=FOCUS_LOST)
        assert self._sdl.SDL_PushEvent(ctypes.byref(event)) == 1


def obey(path: str, mouse: HidDevice) -> None:
    """Carry out datagrams {"hand": what, ...} until the process ends; every one is answered."""
    sdl = None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        while True:
            data, sender = listener.recvfrom(4096)
            order = json.loads(data)
            sdl = sdl or Sdl()
            answer = "ok"
            try:
                match order.pop("hand"):
                    case "plug":
                        mouse.plugged = order["in"]
                    case "reports":
                        mouse.say([bytes.fromhex(line) for line in order["hex"]])
                    case "attach":
                        sdl.attach()
                    case "pad":
                        sdl.pad(order["axes"], order["buttons"])
                    case "detach":
                        sdl.detach()
                    case "key":
                        sdl.key(order["down"], order["name"])
                    case "focus":
                        sdl.lose_focus()
            except AssertionError as error:
                answer = f"refused: {order} {error}"
            listener.sendto(answer.encode(), sender)


def main() -> None:
    mouse = HidDevice()
    sys.modules["hidraw"] = mouse.module()
    threading.Thread(target=obey, args=(sys.argv.pop(1), mouse), daemon=True).start()
    from prophrl_cell.nodes import teleop_node

    teleop_node.main()


if __name__ == "__main__":
    main()
