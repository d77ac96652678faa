"""3Dconnexion SpaceMouse: HID input reports to readings, and the thread that reads them.

Report 1 is the translation (three int16, about -350..350), report 2 the rotation; newer devices send all six in report
1. Report 3 is the buttons, one bit each. Raw axes are right, towards the person, down; here x is right, y away from the
person, z up, and rotations turn about the same axes. Source: observed reports and spacenavd's default axis map.
"""

import contextlib
import struct
import sys
import threading
import time
from collections.abc import Iterable

from prophrl_cell.teleop.reading import BY_RADIO, Latest, Reading, radio_stamp

FULL_SCALE = 350.0
SIGNS = (1.0, -1.0, -1.0)
TRANSLATION, ROTATION, BUTTONS = 1, 2, 3
BUTTON_BYTES = 6
MAKER = 0x256F
LOGITECH, LOGITECH_PRODUCTS = 0x046D, (
    0xC603, 0xC605, 0xC606, 0xC621, 0xC623, 0xC625, 0xC626, 0xC627, 0xC628, 0xC629, 0xC62B, 0xC640,
)  # fmt: skip
RECEIVERS = (0xC62F, 0xC632, 0xC652)  # of the maker's radio devices
BLUETOOTH = 2  # hidapi's bus_type
MULTI_AXIS = (1, 8)  # HID usage page and usage
POLL_MS, LOOK_AGAIN_S, REPORT_BYTES = 10, 1.0, 64
LINUX = sys.platform == "linux"
UDEV_RULE = 'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", MODE="0660", TAG+="uaccess"'


def is_spacemouse(info: dict) -> bool:
    """Whether an entry of hid.enumerate() is the motion interface of a known device."""
    vendor, product = info.get("vendor_id"), info.get("product_id")
    if vendor != MAKER and not (vendor == LOGITECH and product in LOGITECH_PRODUCTS):
        return False
    usage = (info.get("usage_page") or 0, info.get("usage") or 0)
    return usage in ((0, 0), MULTI_AXIS)  # a receiver has mouse and keyboard interfaces, too


def by_radio(info: dict) -> bool:
    """Whether an entry of hid.enumerate() is seen to have no cable."""
    receiver = info.get("vendor_id") == MAKER and info.get("product_id") in RECEIVERS
    return receiver or info.get("bus_type") == BLUETOOTH


def button_name(bit: int) -> str:
    """left, right, button_3, button_4, ..."""
    return ("left", "right")[bit] if bit < 2 else f"button_{bit + 1}"


class SpaceMouseState:
    """What the reports said so far. Buttons outlive a lost connection, so that a held one is known to be old."""

    def __init__(self):
        self.axes = dict.fromkeys(("x", "y", "z", "rx", "ry", "rz"), 0.0)
        self.held: frozenset[str] = frozenset()

    @property
    def deflected(self) -> bool:
        return any(self.axes.values())

    def feed(self, report: bytes) -> bool:
        """Take a report; whether it was about motion. Unknown and short ones are passed over."""
        if not report:
            return False
        kind, body = report[0], bytes(report[1:])
        if kind == BUTTONS and body:
            bits = int.from_bytes(body[:BUTTON_BYTES], "little")
            self.held = frozenset(button_name(bit) for bit in range(bits.bit_length()) if bits >> bit & 1)
        elif kind in (TRANSLATION, ROTATION) and len(body) >= 6:
            self._set(("x", "y", "z") if kind == TRANSLATION else ("rx", "ry", "rz"), body[:6])
            if kind == TRANSLATION and len(body) >= 12:
                self._set(("rx", "ry", "rz"), body[6:12])
            return True
        return False

    def _set(self, names: tuple[str, ...], body: bytes) -> None:
        for name, sign, value in zip(names, SIGNS, struct.unpack("<3h", body), strict=True):
            self.axes[name] = max(-1.0, min(1.0, sign * value / FULL_SCALE)) + 0.0

    def rest(self) -> None:
        """No motion: what a device just connected is taken to say."""
        self.axes = dict.fromkeys(self.axes, 0.0)


def hid_module():
    """hidapi over hidraw where it is built (it leaves the kernel's driver in place), else over libusb."""
    try:
        import hidraw as hid
    except ModuleNotFoundError:
        import hid
    return hid


class SpaceMouseReader:
    """Finds a SpaceMouse, reads it, and finds it again after it was unplugged.

    ``wireless``: one without a cable is taken, too; held ``deadman`` buttons then count only while it reports.
    """

    def __init__(self, latest: Latest, wireless: bool = False, deadman: Iterable[str] = ()):
        self._latest, self._state = latest, SpaceMouseState()
        self._wireless, self._deadman = wireless, frozenset(deadman)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spacemouse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            hid = hid_module()
        except ImportError as error:
            self._latest.lose(f"expected hidapi ({error}); run: make setup EXTRAS=teleop")
            return
        while not self._stop.is_set():
            with contextlib.suppress(OSError, ValueError):
                mice = sorted((info for info in hid.enumerate() if is_spacemouse(info)), key=by_radio)  # cables first
                found = next(iter(mice), None)
                if found is None:
                    self._latest.lose("expected a SpaceMouse on USB, found none; plug it in")
                elif by_radio(found) and not self._wireless:
                    self._latest.lose(BY_RADIO.format(found.get("product_string") or "SpaceMouse"))
                else:
                    self._use(hid, found)
            self._stop.wait(LOOK_AGAIN_S)

    def _use(self, hid, found: dict) -> None:
        """Read one device until it goes away."""
        device, product = hid.device(), found.get("product_string") or "SpaceMouse"
        try:
            device.open_path(found["path"])
        except OSError:
            remedy = f"add the udev rule {UDEV_RULE}, then plug it in again" if LINUX else "check its permissions"
            self._latest.lose(f"{product}: expected permission to open it, got a refusal; {remedy}")
            return
        self._state.rest()
        moved_at = heard_at = time.monotonic()
        try:
            while not self._stop.is_set():
                report = device.read(REPORT_BYTES, POLL_MS)
                now = time.monotonic()
                heard_at = now if report else heard_at
                if self._state.feed(bytes(report)):
                    moved_at = now
                # A deflected device repeats its report; one that does not is out of reach of its receiver.
                stamp = moved_at if self._state.deflected else now
                if self._wireless:  # at rest it says nothing: taken for lost, too, with its deadman held
                    stamp = min(stamp, radio_stamp(now, heard_at, not self._state.held.isdisjoint(self._deadman)))
                self._latest.put(Reading(stamp, dict(self._state.axes), self._state.held))
        except (OSError, ValueError) as error:
            self._latest.lose(f"{product}: lost ({error}); plug it in again")
        finally:
            device.close()
