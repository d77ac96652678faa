"""A headless Chromium on a console's page: open it, read it, press things."""

import contextlib
import shutil
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
PROGRAMS = ("chromium", "chromedriver")
MISSING = "needs Debian's chromium and chromium-driver; run: sudo apt-get install -y chromium chromium-driver"


def missing() -> str:
    """Why no browser can be had here, empty when one can."""
    return "" if all(shutil.which(program) for program in PROGRAMS) else MISSING


class Browser:
    """One Chromium with a profile of its own; ``close`` ends it."""

    def __init__(self, width: int = 1280, height: int = 800):
        self._profile = tempfile.mkdtemp(prefix="prophrl-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Make the page itself this large, whatever the window's frame takes."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def open(self, address: str) -> None:
        """Load a console and wait until its jog socket is open."""
        self.driver.get(address)
        status = "return document.querySelector('#jog-status')?.textContent"
        self.wait(lambda: "hold the deadman" in (self.script(status) or ""))

    def script(self, code: str, *arguments):
        return self.driver.execute_script(code, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, see: str) -> str:
        """What the page shows under a ``data-see`` name."""
        return self.script("return document.querySelector(`[data-see=\"${arguments[0]}\"]`)?.textContent ?? ''", see)

    def press(self, do: str) -> None:
        """Click the button with a ``data-do`` name."""
        self.find(f'[data-do="{do}"]').click()

    def enter(self, name: str, text: str) -> None:
        """Replace what is in the field with a ``data-enter`` name, and leave it."""
        field = self.find(f'[data-enter="{name}"]')
        field.send_keys(Keys.CONTROL + "a")  # in a call of its own: the modifier stays down until its end
        field.send_keys(text + Keys.ENTER)

    def confirm(self, do: str) -> None:
        """Click a button that asks first, and say yes."""
        self.press(do)
        self.wait(lambda: self.script("return !!document.querySelector('.q-dialog [data-do=confirm]')"))
        time.sleep(0.3)  # the dialog slides in
        self.press("confirm")
        self.wait(lambda: not self.script("return !!document.querySelector('.q-dialog [data-do=confirm]')"))

    def key(self, kind: str, code: str) -> None:
        """A real key event; ``kind`` is down or up, ``code`` as in KeyboardEvent.code."""
        key = {"Space": " "}.get(code, code.removeprefix("Key").lower())
        virtual = 32 if code == "Space" else ord(key.upper())
        self.driver.execute_cdp_cmd(
            "Input.dispatchKeyEvent",
            {"type": "rawKeyDown" if kind == "down" else "keyUp", "code": code, "key": key,
             "windowsVirtualKeyCode": virtual},
        )  # fmt: skip

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A real mouse event (mousePressed, mouseReleased, mouseMoved) at page pixels."""
        button = {"mouseMoved": "none"}.get(kind, "left")
        self.driver.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": button, "clickCount": 1}
        )

    def wait(self, condition, timeout: float = 15.0):
        """Wait for something true and return it."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                shown = " | ".join(self.script("return document.body.innerText").split("\n"))
                raise AssertionError(f"not within {timeout} s; the page shows: {shown[:2000]}")
            time.sleep(0.02)
        return value

    def complaints(self) -> list[str]:
        """Errors of the page's console."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def screenshot(self, path) -> None:
        self.driver.save_screenshot(str(path))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)
