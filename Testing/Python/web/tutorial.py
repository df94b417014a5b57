"""The picture of the page in the README: the sample, reconstructed, with the surface of its mean.

python -m web.tutorial Resources/Screenshots
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from .browser import Browser
from .served import Served

PATIENCE_S = 600


def web(page: Browser, picture: Path) -> None:
    """The sample's slices, their mean in the views and its surface in 3D."""
    page.click("sample-button")
    page.wait(lambda: page.there("all-button").is_enabled(), "sample")
    page.click("all-button")
    page.wait(lambda: len(page.rows()) == 4, "slices")
    page.click("apply-button")
    page.wait(lambda: page.text("run-step") == "done", "result", PATIENCE_S)
    before = page.picture("ThreeD")
    page.click("surface-button")
    page.wait(lambda: page.picture("ThreeD") != before and page.sliders_agree(), "surface")
    page.driver.execute_script("document.getElementById('contexts').scrollIntoView()")
    page.screenshot(picture)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as own:
        server = Served(Path(own), {**os.environ, "SVR_MODELS_DIR": own})
        page = Browser()
        try:
            page.open(server.address)
            web(page, folder / "web.png")
        finally:
            page.close()
            server.close()


if __name__ == "__main__":
    main()
