"""Headless Chromium on the page: Debian's browser, driven by clicks and keys."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from SparseVolumeReconstructionLib.web.chromium import headless_chromium, resize

WAIT_S = 90.0


class Browser:
    """One browser with a profile of its own.

    Elements are found by their id. keys: names of keys for `press`.
    """

    keys = Keys

    def __init__(self, width: int = 1400, height: int = 900):
        self._size = width, height
        self._folder = tempfile.TemporaryDirectory(prefix="svr-chromium-", ignore_cleanup_errors=True)
        self.downloads = Path(self._folder.name) / "browser" / "downloads"
        self.driver = headless_chromium(Path(self._folder.name) / "browser", width, height)

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()
        self._folder.cleanup()

    def restart(self, address: str) -> None:
        """End the browser and start it again with the same profile, on an address."""
        self.driver.quit()
        self.driver = headless_chromium(Path(self._folder.name) / "browser", *self._size)
        self.open(address)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Give the page this size in CSS pixels, each of so many device pixels."""
        resize(self.driver, width, height, scale)

    def open(self, address: str) -> None:
        """Go to an address and wait for the page."""
        self.driver.get(address)
        self.wait(lambda: self.there("sample-button"), "the page")

    def wait(self, condition: Callable[[], object], what: str, seconds: float = WAIT_S):
        """Poll until the condition holds and return what it gave; fails with what the page says."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if found := condition():
                    return found
            except Exception as error:  # elements come and go while the page is drawn
                last = error
            else:
                last = None
            time.sleep(0.05)
        raise AssertionError(
            f"no {what} within {seconds:.0f} s ({last}); the page says: {self.text('run-step')} "
            f"{self.text('run-error')}"
        )

    def stays(self, what: Callable[[], object], seconds: float = 0.5) -> bool:
        """Whether something is the same some seconds later."""
        before = what()
        time.sleep(seconds)
        return what() == before

    def there(self, name: str):
        """The element with an id, None without one."""
        found = self.driver.find_elements(By.ID, name)
        return found[0] if found else None

    def text(self, name: str) -> str:
        """The text of an element; "" without it."""
        element = self.there(name)
        return element.text if element is not None else ""

    def click(self, name: str) -> None:
        """Click an element once a person can: it is shown and enabled."""
        self.wait(lambda: self.there(name).is_displayed() and self.there(name).is_enabled(), name)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", self.there(name))
        self.there(name).click()

    def choose(self, name: str, label: str) -> None:
        """Choose an entry of a menu by its text."""
        self.wait(
            lambda: label in [each.text for each in Select(self.there(name)).options], f"{label} in {name}"
        )
        Select(self.there(name)).select_by_visible_text(label)

    def press(self, name: str, *keys: str) -> None:
        """Give an element the focus, once it is shown, and press keys there."""
        self.wait(lambda: self.there(name).is_displayed(), name)
        self.driver.execute_script("arguments[0].focus()", self.there(name))
        self.there(name).send_keys(*keys)

    def chosen(self, name: str) -> str:
        """The text of the entry that a menu shows as chosen."""
        return Select(self.there(name)).first_selected_option.text

    def rows(self) -> list:
        """Rows of the table of contexts."""
        return self.driver.find_elements(By.CSS_SELECTOR, ".table tbody tr")

    def picture(self, view: str) -> str:
        """The source of the picture that a view shows."""
        found = self.driver.find_elements(By.CSS_SELECTOR, f'[data-view="{view}"] img')
        return found[0].get_attribute("src") if found else ""

    def play(self, seconds: float) -> list[str]:
        """Let the samples be played: the numbers that are shown until the button says so no more."""
        script = """
            const [seconds, done] = arguments, number = document.getElementById("sample-number"), shown = [];
            const watch = new MutationObserver(() => { shown.push(number.textContent); });
            watch.observe(number, {characterData: true, childList: true, subtree: true});
            setTimeout(() => { watch.disconnect(); done(shown); }, seconds * 1000);"""
        self.click("play-button")
        shown = self.driver.execute_async_script(script, seconds)
        self.click("play-button")
        self.wait(lambda: self.text("play-button") == "Play", "end of the film")
        return shown

    def violations(self) -> list[str]:
        """What breaks axe's rules for everybody, one line each."""
        from axe_core_python.selenium import Axe

        found = Axe().run(self.driver)["violations"]
        return [
            f"{each['id']}: {each['help']}: {node['html'][:160]}" for each in found for node in each["nodes"]
        ]

    def sliders_agree(self) -> bool:
        """Whether the thumb of every slice view's slider stands at what is written beside it."""
        script = """return ["Red", "Green", "Yellow"].map((view) =>
            [document.getElementById("scroll-" + view).valueAsNumber, Number(document.getElementById("offset-" + view).textContent)])"""  # noqa: E501
        return all(abs(thumb - written) <= 0.051 for thumb, written in self.driver.execute_script(script))

    def too_wide(self) -> list[str]:
        """Parts of the page that would have to be scrolled sideways."""
        return self.driver.execute_script("""
            return [...document.querySelectorAll('.svr, .panel, .sections, .tools, .view .bar, .top')]
              .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.className)""")

    def cut_names(self) -> list[str]:
        """Names of slices in the table that cannot be read to their end."""
        return self.driver.execute_script("""
            return [...document.querySelectorAll('.table .link')].filter((name) => {
              const words = document.createRange(); words.selectNodeContents(name);
              const inner = words.getBoundingClientRect(), box = name.getBoundingClientRect();
              const cell = name.closest('td').getBoundingClientRect();
              return inner.right > box.right + 1 || box.right > cell.right + 1;
            }).map((name) => name.textContent)""")

    def covered(self) -> float:
        """How many pixels of a message its button covers; the message itself may scroll."""
        return self.driver.execute_script("""
            const [words, button] = document.querySelectorAll('#run-error > p, #run-error > button');
            return words.getBoundingClientRect().bottom - button.getBoundingClientRect().top""")

    def complaints(self) -> list[str]:
        """What the console of the browser says, without what is only information.

        And without what a page that is being left says of its views, whose sizes it can tell nobody any more.
        """
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("WARNING", "SEVERE")
            and "trame.rca.size unsuccessful: connection not open" not in entry["message"]
        ]

    def screenshot(self, path: Path) -> None:
        """Keep what is shown as PNG."""
        self.driver.save_screenshot(str(path))

    def download(self, name: str) -> Path:
        """Click the link to a file of the result and wait for it."""
        link = self.wait(
            lambda: self.driver.find_element(By.CSS_SELECTOR, f'a[href$="download/{name}"]'),
            f"link to {name}",
        )
        path = self.downloads / link.get_attribute("download")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
        link.click()
        self.wait(lambda: path.exists() and not list(self.downloads.glob("*.crdownload")), name)
        return path
