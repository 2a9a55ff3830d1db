"""A real Chromium, fetched by the system's package manager where it is missing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.servers import provision

__all__ = ["Page", "browser"]

# Without these, Chromium looks for hosts of its maker's at every start.
_QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
)  # fmt: skip
_SECONDS = 30


@contextlib.contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile, and end it."""
    program = provision.require("chromium", ["chromium", "fonts-dejavu-core"])
    driver = provision.require("chromedriver", ["chromium-driver"])
    options = Options()
    options.binary_location = str(program)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="vecrec-chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*_QUIET, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # What the driver's process says is nobody's business unless it fails.
        service = Service(str(driver), log_output=subprocess.DEVNULL, env={**os.environ, "HOME": profile})
        chrome = webdriver.Chrome(options=options, service=service)
        try:
            yield chrome
        finally:
            with contextlib.suppress(WebDriverException):
                chrome.quit()


class Page:
    """The page as somebody in front of it sees and uses it."""

    def __init__(self, chrome: webdriver.Chrome, address: str) -> None:
        self.chrome, self.address = chrome, address

    def open(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Visit it anew, as somebody who has never been there."""
        self.chrome.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.chrome.get(self.address)
        self.chrome.execute_script("localStorage.clear(); sessionStorage.clear()")
        self.chrome.get_log("browser")
        self.chrome.get(self.address)

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is so, and give it."""

        def met(_: object) -> Any:
            try:
                return condition()
            except (AssertionError, IndexError, WebDriverException):
                return False  # the page was just changing

        return WebDriverWait(self.chrome, _SECONDS, 0.05).until(met)

    def all(self, selector: str) -> list[Any]:
        """The elements of a CSS selector."""
        found: list[Any] = self.chrome.find_elements(By.CSS_SELECTOR, selector)
        return found

    def text(self, selector: str) -> str:
        """What is to be read in an element."""
        return str(self.all(selector)[0].text)

    def texts(self, selector: str) -> list[str]:
        """What is to be read in each element, read in one go, since a list may change between two questions."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent.trim())"
        found: list[str] = self.chrome.execute_script(script, selector)
        return found

    def click(self, selector: str, at: int = 0) -> None:
        """Click, as soon as that is possible."""

        def clicked() -> bool:
            self.all(selector)[at].click()
            return True

        self.wait(clicked)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        # To whatever has the focus, as a keyboard does: an element that was asked for before may be gone by now.
        ActionChains(self.chrome).send_keys(*keys).perform()

    def titles(self) -> list[str]:
        """The titles of the list, once it is complete."""
        self.wait(lambda: self.all("#cards:not([aria-busy]) .card:not(.skeleton)"))
        return self.texts("#cards .title")

    def asks_for_key(self) -> bool:
        """Whether the dialog for the key is open."""
        return bool(self.all("#key[open]")) and bool(self.all("#key-value")[0].is_displayed())

    def picture(self, path: Path) -> None:
        """Save what is to be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.chrome.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """What the browser's console says is wrong."""
        return [
            str(each["message"]) for each in self.chrome.get_log("browser") if each["level"] in ("SEVERE", "WARNING")
        ]


ENTER, ESCAPE, RIGHT, TAB = Keys.ENTER, Keys.ESCAPE, Keys.ARROW_RIGHT, Keys.TAB
