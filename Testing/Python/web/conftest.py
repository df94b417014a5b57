"""A server and a browser; where one cannot be had, the tests are skipped and say why."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def screenshots(repository) -> Path:
    """Where pictures of the page are kept, to be looked at."""
    folder = repository / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory, library_environment):
    """Function: start a server with words; all of them are ended at last. No models but the embedded ones.

    unset: a variable that it does not have.
    """
    for name in ("trame_slicer", "slicer"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"NO TEST OF THE BROWSER EDITION: {name} is not installed; ./run test installs it")
    from web.served import Served

    models = tmp_path_factory.mktemp("models")
    environment = {**library_environment, "SVR_MODELS_DIR": str(models)}
    running = []

    def start(*words: str, token: str = "", folder: Path | None = None, unset: str = "") -> Served:
        own = {name: value for name, value in environment.items() if name != unset}
        running.append(Served(tmp_path_factory.mktemp("served"), own, *words, token=token, temporary=folder))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture(scope="session")
def browse():
    """Function: start a browser of a size; all of them are ended at last."""
    from SparseVolumeReconstructionLib.web.chromium import missing

    if why := missing():
        pytest.skip(f"NO TEST OF THE PAGE: {why}")
    from web.browser import Browser

    running = []

    def start(width: int = 1400, height: int = 900) -> Browser:
        running.append(Browser(width, height))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture(scope="module")
def server(served):
    """One server for the tests of a file."""
    return served()


@pytest.fixture(scope="module")
def page(server, browse):
    """Its page, 1400 x 900, with all sections open."""
    browser = browse()
    browser.open(server.address)
    browser.driver.execute_script(
        "document.querySelectorAll('details.section').forEach(each => { each.open = true })"
    )
    return browser


@pytest.fixture(scope="module")
def slices(page):
    """The page with the four slices of the sample as contexts, loaded with the keyboard."""
    page.press("sample-button", page.keys.ENTER)
    page.wait(lambda: page.there("all-button").is_enabled(), "sample")
    page.press("all-button", page.keys.SPACE)
    page.wait(lambda: len(page.rows()) == 4, "four rows")
    return page
