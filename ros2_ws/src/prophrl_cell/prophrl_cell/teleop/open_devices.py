"""Starts the readers of the devices that are attached to this machine."""

from prophrl_core.errors import UserError

from prophrl_cell.teleop.device_config import DeviceConfig
from prophrl_cell.teleop.reading import Latest
from prophrl_cell.teleop.sdl_reader import SdlReader
from prophrl_cell.teleop.spacemouse import SpaceMouseReader


def open_readers(devices: list[tuple[DeviceConfig, Latest]]) -> list:
    """One reader for the SpaceMouse, one for keyboard and gamepad together; each has ``close()``. It never waits."""
    by_kind: dict[str, list] = {}
    for config, latest in devices:
        by_kind.setdefault(config.kind, []).append((config, latest))
    for kind, same in by_kind.items():
        if len(same) > 1:
            raise UserError(f"teleop_node: expected one {kind}, got {len(same)} of that kind; name one of them")
    readers = [
        SpaceMouseReader(latest, config.wireless, config.buttons.deadman)
        for config, latest in by_kind.get("spacemouse", [])
    ]
    keys, pads = by_kind.get("keyboard"), by_kind.get("gamepad")
    if keys or pads:
        readers.append(SdlReader(keys[0] if keys else None, pads[0] if pads else None))
    return readers
