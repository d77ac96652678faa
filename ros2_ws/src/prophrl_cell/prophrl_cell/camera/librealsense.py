"""Imports pyrealsense2, supplying libusb from the ``libusb-package`` wheel where the system has none."""

import ctypes
import functools

from prophrl_core.errors import UserError


@functools.cache
def load():
    """The pyrealsense2 module; UserError saying what to install when it cannot be loaded."""
    try:
        import pyrealsense2
    except ImportError as first:
        try:
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
            import pyrealsense2
        except (ImportError, OSError):
            raise UserError(
                f"expected librealsense to load, got '{first}';"
                " install it with: pip install pyrealsense2, and apt install libusb-1.0-0"
                " (or pip install libusb-package)"
            ) from None
    return pyrealsense2
