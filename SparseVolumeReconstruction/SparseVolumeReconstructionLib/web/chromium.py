"""A headless Chromium, for measuring and for tests.

Debian's packages chromium and chromium-driver, driven by selenium.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

_WORDS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync "
    "hide-scrollbars force-device-scale-factor=1"
)


def missing() -> str | None:
    """Why no browser can be had here; None where it can."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed (./run test installs it)"
    names = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"{' and '.join(names)} not installed (Debian's packages chromium and chromium-driver)"
        if names
        else None
    )


def headless_chromium(folder: Path, width: int, height: int):
    """A selenium driver of a new browser.

    Args:
        folder: for its profile, and "downloads" in it for what it saves.
        width: of its page, CSS pixels.
        height: of its page, CSS pixels.
    """
    from selenium import webdriver

    (folder / "downloads").mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in [*_WORDS.split(), f"user-data-dir={folder}/profile"]:
        options.add_argument(f"--{word}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    resize(driver, width, height)
    return driver


def resize(driver, width: int, height: int, scale: float = 1) -> None:
    """Give the page of a driver, not its window, this size in CSS pixels.

    Args:
        driver: selenium's, of Chromium.
        scale: device pixels in each, as when it is enlarged.
    """
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
